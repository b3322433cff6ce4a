drmad check --threads 1000 study.yaml
