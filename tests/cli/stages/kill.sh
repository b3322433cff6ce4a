# SIGKILL at any time: refining and retraining give the same bits, searching the same means.
study=$ROOT/tests/cli/pipeline.yaml
exec 2>/dev/null # bash tells of every kill
means() { grep -o '"objective_loss": [0-9.e-]*' "$1/retrain.json" | sort; }
same() { sed '/"seconds"/d' "$1/$2" >a; sed '/"seconds"/d' r/"$2" | cmp a -; }
drmad tune "$study" -o whole -q >/dev/null
cp p.db search.db
for stage in search refine; do
    rm -rf p.db* r
    [ $stage = search ] || { cp search.db p.db; }
    for tenths in 1 2 3 4 6; do
        timeout -s KILL 0.0$tenths drmad tune "$study" -o r -q --resume >/dev/null 2>&1 || true
    done
    until drmad tune "$study" -o r -q --resume >/dev/null 2>&1; do sleep 0.5; done
    if [ $stage = refine ]; then
        same whole refine.json && same whole retrain.json && echo "$stage: the same records"
    fi
    means whole >a
    means r | cmp a - && echo "$stage: same means"
done
