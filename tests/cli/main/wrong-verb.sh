drmad data gett mnist
