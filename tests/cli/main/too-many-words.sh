drmad version now
