drmad data get minst there

