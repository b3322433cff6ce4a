drmad version
