study="$ROOT/tests/cli/search.yaml"
drmad trial ask "$study" search.trials=1 -q >/dev/null
[ -z "$(drmad trial ask "$study" search.trials=1)" ] && echo 'no more'
