drmad data --help | grep -c 'data get'
drmad help data | grep -c 'data get'
drmad help data get | grep '^usage'
drmad data 2>&1 | grep -c 'data get'
if drmad data >/dev/null 2>&1; then false; else echo "status $?"; fi
