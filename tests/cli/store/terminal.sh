# Names with escape codes, printed to a terminal.
drmad study create sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
name=$(printf 'a\033[2J\302\233b')
drmad study create "sqlite:x.db#$name" >/dev/null
export TERM=xterm
script -qec "drmad study list --store sqlite:x.db" /dev/null >said
tr -d '\r\n\t -~' <said | wc -c
grep x1b said
script -qec "drmad export sqlite:x.db#s -f json; drmad study create \"sqlite:x.db#\$(printf 'a\033[2Jb')\"; drmad study show sqlite:x.db#s --json" /dev/null >said
tr -d '\r\n\t -~' <said | wc -c
