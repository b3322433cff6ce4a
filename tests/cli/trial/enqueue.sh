study="$ROOT/tests/cli/search.yaml"
drmad trial enqueue "$study" x=-1 -q
drmad trial enqueue --study sqlite:s.db '{"x": -1.5, "act": "relu"}'
drmad tune "$study" search.trials=3 --jobs 1 -q
drmad trial enqueue "$study" x=3
