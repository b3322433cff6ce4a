drmad study create -q sqlite:x.db#s --direction maximize
drmad study create -q sqlite:x.db#s --direction minimize
