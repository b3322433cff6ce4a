drmad tune "$ROOT/tests/cli/tiny.yaml" -o a -q >/dev/null
drmad tune "$ROOT/tests/cli/tiny.yaml" -o b -q -j 2 >/dev/null
drmad tune "$ROOT/tests/cli/tiny.yaml" -o c -q -s 2 >/dev/null
cmp a/weights.safetensors b/weights.safetensors
cmp -s a/weights.safetensors c/weights.safetensors || echo "another seed, other weights"
