# The example whose trials are a program: few trials, then a worker beside it finds nothing to do.
cd "$ROOT"
drmad tune examples/search/study.yaml search.trials=3 store="sqlite:$OLDPWD/c.db" \
    output.dir="$OLDPWD/out" -q
drmad worker examples/search/study.yaml search.trials=3 store="sqlite:$OLDPWD/c.db" \
    output.dir="$OLDPWD/out" -q | sed -n 2p
