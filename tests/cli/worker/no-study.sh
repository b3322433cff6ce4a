drmad worker
