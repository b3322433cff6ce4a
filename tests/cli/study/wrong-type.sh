printf "outer: {steps: many}\n" >s.yaml
drmad why s.yaml
