drmad tune study.yaml --steps
