drmad data put mnist
