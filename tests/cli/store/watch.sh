# Trials that finish while it watches; SIGTERM ends it as Ctrl-C does (a shell's background jobs
# ignore SIGINT).
has_opened() {
    until readlink "/proc/$!/fd/"* 2>/dev/null | grep -q '/x\.db$'; do sleep 0.02; done
}
shows_all() { for _ in $(seq 400); do [ "$(wc -l <"$1")" = 3 ] && break; sleep 0.05; done; }
drmad study create -q sqlite:x.db#s >/dev/null
: >all
drmad study watch sqlite:x.db#s --every 0.05 >lines &
has_opened
sleep 0.5
python3 "$ROOT/tests/cli/store/fill.py" x.db
shows_all lines
kill -TERM $!
wait $!
cat lines
echo "status $?"
drmad study watch sqlite:x.db#s --every 0.05 --all --json >all &
shows_all all
kill -TERM $!
wait $!
python3 -c '
import json
for line in open("all"):
    t = json.loads(line)
    print(t["number"], t["state"])'
drmad study watch sqlite:x.db#s --every 0.05 >new &
has_opened
sleep 0.5
kill -TERM $!
wait $!
[ -s new ] || echo 'nothing new'
