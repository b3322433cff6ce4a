drmad study show sqlite:x.db
