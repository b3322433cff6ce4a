study=$ROOT/tests/cli/pipeline.yaml
sed 's/{run: refine, top: 2}/{run: refine, topp: 2}/' "$study" >s.yaml
drmad tune s.yaml || true
sed 's/\[search, /[/; s/{run: refine, top: 2}/{run: refine, seeds: 2}/' "$study" >s.yaml
drmad tune s.yaml
