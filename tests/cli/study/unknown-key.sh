printf "train:\n  stepps: 5\n" >s.yaml
drmad tune s.yaml
