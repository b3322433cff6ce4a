sed 's/{run: refine, top: 2}/{run: refine, topp: 2}/' "$ROOT/tests/cli/pipeline.yaml" >s.yaml
drmad tune s.yaml || true
sed 's/\[search, /[/; s/{run: refine, top: 2}/{run: refine, seeds: 2}/' "$ROOT/tests/cli/pipeline.yaml" >s.yaml
drmad tune s.yaml
