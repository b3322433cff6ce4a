drmad study create -q sqlite:x.db#s
drmad study show sqlite:x.db#t
