# what a folder holds, and how near it is to PyTorch
drmad import "$ROOT/tests/import/zoo/losses" | sed "s,$ROOT,ROOT,; s,[0-9.]*e-1[0-9],tiny,g"
drmad import --json "$ROOT/tests/import/zoo/losses" >json
grep -o -e '"train":{[^}]*}' -e '"statistics":[0-9.e-]*,"evaluate_loss"' json
