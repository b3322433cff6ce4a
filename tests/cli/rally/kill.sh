# SIGKILL at any time: the stages and the chains at the end give the same bits.
study=$ROOT/tests/cli/rally.yaml
exec 2>/dev/null # bash tells of every kill
drmad tune "$study" -o whole -q >/dev/null
for tenths in 1 2 3 4 6; do
    timeout -s KILL 0.0$tenths drmad tune "$study" -o r -q --resume >/dev/null 2>&1 || true
done
drmad tune "$study" -o r -q --resume >/dev/null || echo "exit $?"
for file in rally/1/state rally/2/tuned rally/3/state weights retrain/start/3/weights; do
    cmp whole/$file.safetensors r/$file.safetensors && echo "$file: the same"
done
