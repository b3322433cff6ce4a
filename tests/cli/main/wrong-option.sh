drmad tune --sed 7 study.yaml
