drmad tune --json
