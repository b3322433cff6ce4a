study="$ROOT/tests/cli/search.yaml"
drmad ask "$study" search.trials=1 -q >/dev/null
[ -z "$(drmad ask "$study" search.trials=1)" ] && echo 'no more'
