drmad tune --help
