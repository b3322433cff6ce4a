drmad tune "$ROOT/tests/cli/search.yaml" 'objective.cmd=echo {y}'
