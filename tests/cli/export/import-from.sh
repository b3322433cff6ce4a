drmad import hypero
