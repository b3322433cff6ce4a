# The commands of README.md for newcomers, word by word, but for fewer trials and a place of the
# test's own: four workers on SQLite, the same on a PostgreSQL.
cp -r "$ROOT/examples" .
# Six trials, none of which is pruned: which would be depends on who is faster.
sed -i 's/trials: 24/trials: 6/; s/startup: 5/startup: 6/' examples/search/study.yaml
folder=/tmp/drmad-newcomer-$$
trap 'drmad store stop --folder "$folder" -q >/dev/null 2>&1; rm -rf "$folder"' EXIT
drmad() {
    case "$*" in "store start-local") set -- "$@" --folder "$folder" -q ;; esac
    command drmad "$@"
}
awk '/^## Many workers/ {on = 1} /^## From/ {on = 0} on && /^    / {print substr($0, 5)}' \
    "$ROOT/README.md" >commands
grep -c drmad commands
. ./commands >said 2>/dev/null
sed 's/:[0-9]*\/drmad?.*/:PORT/' said | sort | uniq -c | grep -E 'study|trials'
echo "$(grep -c '</html>' report.html) page"
