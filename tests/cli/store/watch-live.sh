# On a terminal the study is drawn again and again; Ctrl-C ends it well.
drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
export TERM=xterm
cat >watch.sh <<'END'
timeout --preserve-status -s INT 1 drmad study watch sqlite:x.db#s --every 0.2
echo "status $?"
END
script -qec 'bash watch.sh' /dev/null | tr -d '\r\033' >said
sed -n 1,4p said
grep -c '\[J' said | awk '{ print ($1 > 1) ? "drawn again" : "drawn once" }'
tail -n 1 said
