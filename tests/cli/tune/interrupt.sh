# The first signal ends the run cleanly, and the run then goes on to the very same result. (SIGTERM:
# a shell starts background jobs with SIGINT ignored.)
study="$ROOT/tests/cli/tiny.yaml train.steps=300 outer.steps=8 outer.trust=false
    output.checkpoint_minutes=0 -q"
# shellcheck disable=SC2086 # a list of words
{
    drmad tune $study -o whole >/dev/null
    drmad tune $study -o cut --json 2>said >lines &
    while ! [ -s lines ] && kill -0 $!; do sleep 0.02; done
    kill -TERM $!
    wait $! || echo "status $?"
    cat said
    [ -e cut/checkpoint.safetensors ] && echo "a checkpoint"
    drmad tune $study -o cut --resume >/dev/null
}
cmp whole/weights.safetensors cut/weights.safetensors && echo same
