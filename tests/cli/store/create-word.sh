drmad study create -q sqlite:x.db#s --direction up
