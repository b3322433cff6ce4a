# a layer that cannot grow is refused by name, and no file is left
study=$ROOT/tests/cli/tiny.yaml
drmad train "$study" -o a -q >/dev/null
status=0
drmad grow "$study" a/weights.safetensors --deeper layers.0 -o b.safetensors || status=$?
ls
exit $status
