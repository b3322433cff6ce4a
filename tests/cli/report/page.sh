drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad report sqlite:x.db#s -o s.html --tensorboard logs
drmad report sqlite:x.db#s >again.html
cmp s.html again.html && echo 'the same page'
grep -c '<tr id="t' s.html
ls logs
