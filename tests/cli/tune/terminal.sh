export TERM=xterm
# script gives the command a terminal; a progress line is redrawn in place and nothing of it stays
script -qec "drmad tune \"$ROOT/tests/cli/tiny.yaml\" -o r" seen >/dev/null </dev/null
grep -q "\[#*\.*\] *[0-9]* %" seen && echo "a bar"
script -qec "TERM=dumb drmad tune \"$ROOT/tests/cli/tiny.yaml\" -o r2" dumb >/dev/null </dev/null
grep -q "\[#*\.*\] *[0-9]* %" dumb || echo "none on a dumb terminal"
