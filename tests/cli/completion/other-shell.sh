drmad completion csh
