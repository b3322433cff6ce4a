# a layer that cannot grow is refused by name, and no file is left
drmad train "$ROOT/tests/cli/tiny.yaml" -o a -q >/dev/null
status=0
drmad grow "$ROOT/tests/cli/tiny.yaml" a/weights.safetensors --deeper layers.0 -o b.safetensors || status=$?
ls
exit $status
