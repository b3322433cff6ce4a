export TERM=xterm
script -qec "drmad tune nowhere.yaml || true" seen >/dev/null </dev/null
grep -q "$(printf "\033")\[1merror" seen && echo color
NO_COLOR=1 script -qec "drmad tune nowhere.yaml || true" plain >/dev/null </dev/null
grep -q "$(printf "\033")" plain || echo plain
