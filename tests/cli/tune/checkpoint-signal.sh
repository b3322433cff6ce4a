# SIGUSR1: a checkpoint is written (none is due for an hour) and the run goes on to its end.
drmad tune "$ROOT/tests/cli/tiny.yaml" train.steps=300 outer.steps=8 outer.trust=false \
    output.checkpoint_minutes=60 -q -o r --json >lines &
while ! [ -s lines ] && kill -0 $!; do sleep 0.02; done
kill -USR1 $!
while kill -0 $! 2>/dev/null && ! [ -e r/checkpoint.safetensors ]; do sleep 0.01; done
[ -e r/checkpoint.safetensors ] && echo "a checkpoint"
wait $! && echo done
