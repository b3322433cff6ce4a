drmad study create sqlite:x.db#s
drmad study show sqlite:x.db#t
