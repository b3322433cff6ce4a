# Trials that finish while it watches; SIGTERM ends it as Ctrl-C does (a shell's background jobs
# ignore SIGINT).
drmad study create -q sqlite:x.db#s >/dev/null
drmad study watch sqlite:x.db#s --every 0.05 >lines &
sleep 0.5
python3 "$ROOT/tests/cli/store/fill.py" x.db
for _ in $(seq 200); do [ "$(wc -l <lines)" = 3 ] && break; sleep 0.05; done
kill -TERM $!
wait $!
cat lines
echo "status $?"
drmad study watch sqlite:x.db#s --every 0.05 --all --json >lines &
for _ in $(seq 200); do [ "$(wc -l <lines)" = 3 ] && break; sleep 0.05; done
kill -TERM $!
wait $!
python3 -c '
import json
for line in open("lines"):
    t = json.loads(line)
    print(t["number"], t["state"])'
drmad study watch sqlite:x.db#s --every 0.05 >lines &
sleep 0.5
kill -TERM $!
wait $!
[ -s lines ] || echo 'nothing new'
