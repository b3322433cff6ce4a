drmad study create -q sqlite:x.db#s
drmad store upgrade sqlite:x.db
drmad study show sqlite:x.db#s >/dev/null && echo 'still fine'
