drmad study create -q sqlite:x.db#s
drmad study show sqlite:x.db#s >/dev/null && echo 'still there'
drmad study delete sqlite:x.db#s
