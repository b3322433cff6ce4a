# Names with escape codes, printed to a terminal.
drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
name=$(printf 'a\033[2J\302\233b')
drmad study create -q "sqlite:x.db#$name" >/dev/null
export TERM=xterm
script -qec "drmad study list --store sqlite:x.db" /dev/null >said
tr -d '\r\n\t -~' <said | wc -c
grep x1b said
cat >all.sh <<'END'
drmad export sqlite:x.db#s -f json
drmad study create -q "sqlite:x.db#$(printf 'a\033[2Jb')"
drmad study show sqlite:x.db#s --json
END
script -qec 'bash all.sh' /dev/null >said
tr -d '\r\n\t -~' <said | wc -c
