drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "hyper=[]"
