drmad store check sqlite:x.db
