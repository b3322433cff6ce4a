printf "seed: 1\n" >s.yaml
drmad check s.yaml outer.stepz=3
