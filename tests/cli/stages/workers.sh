# Workers do the search; the pipeline goes on from their trials.
study=$ROOT/tests/cli/pipeline.yaml
drmad worker "$study" -q >/dev/null & first=$!
drmad worker "$study" -q >/dev/null
wait $first
drmad tune "$study" -o r -q | grep -v "^refined trial\|^trial"
ls r
