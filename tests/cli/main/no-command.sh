drmad
