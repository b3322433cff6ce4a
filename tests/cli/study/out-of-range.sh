printf "train:\n  batch: 0\n" >s.yaml
drmad train s.yaml
