printf "train: &a {steps: 5}\n" >s.yaml
drmad explain s.yaml
