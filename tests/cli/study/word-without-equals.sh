printf "seed: 1\n" >s.yaml
drmad check s.yaml now
