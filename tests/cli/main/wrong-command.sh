drmad tun
