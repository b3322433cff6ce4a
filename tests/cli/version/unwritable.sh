drmad version >/dev/full
