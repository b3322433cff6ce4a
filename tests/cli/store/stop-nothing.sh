mkdir pg
drmad store stop --folder "$PWD/pg"
echo stopped
