drmad tune --threads=2x study.yaml
