drmad study create -q sqlite:x.db#s >/dev/null
drmad export sqlite:x.db#s -o none/table.csv
