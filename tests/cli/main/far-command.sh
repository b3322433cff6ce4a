drmad frobnicate
