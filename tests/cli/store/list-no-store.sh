drmad study list --store sqlite:x.db
