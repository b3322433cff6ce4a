drmad study watch sqlite:x.db#s --every x
