drmad help >/dev/full
