drmad tune nowhere.yaml
