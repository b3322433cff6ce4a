drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad export sqlite:x.db#s --order-by losss
