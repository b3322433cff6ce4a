drmad study best sqlite:x.db#s --store sqlite:y.db
