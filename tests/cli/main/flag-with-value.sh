drmad tune --json=3 study.yaml
