drmad study create sqlite:x.db#s --direction maximize
drmad study create sqlite:x.db#s --direction minimize
