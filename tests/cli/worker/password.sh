# Not in an argument, not in a study file, and never printed.
for target in postgresql://me:secret@nowhere/x#s 'postgresql://me@nowhere/x?password=secret#s'; do
    drmad worker --study "$target" || echo "status $?"
done
drmad tune "$ROOT/tests/cli/search.yaml" --store postgresql://me:secret@nowhere/x ||
    echo "status $?"
sed 's|^store:.*|store: postgresql://me:secret@nowhere/x|' "$ROOT/tests/cli/search.yaml" >study.yaml
drmad tune study.yaml
