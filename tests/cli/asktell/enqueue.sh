study="$ROOT/tests/cli/search.yaml"
drmad enqueue "$study" x=-1 -q
drmad enqueue --study sqlite:s.db '{"x": -1.5, "act": "relu"}'
drmad tune "$study" search.trials=3 --jobs 1 -q
drmad enqueue "$study" x=3
