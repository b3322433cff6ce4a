printf "seed: 1\nseed: 2\n" >s.yaml
drmad explain s.yaml
