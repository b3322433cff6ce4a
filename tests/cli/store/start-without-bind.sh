drmad store start
