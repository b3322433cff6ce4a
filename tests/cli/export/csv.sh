drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad export sqlite:x.db#s
drmad export sqlite:x.db#s --params act --results '*' --meta '' --order-by value
drmad export s --store sqlite:x.db -o table.csv
drmad export s --store sqlite:x.db | cmp - table.csv && echo same
