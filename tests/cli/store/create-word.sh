drmad study create sqlite:x.db#s --direction up
