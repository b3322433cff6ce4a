drmad study create sqlite:x.db#s >/dev/null
drmad export sqlite:x.db#s >/dev/full
