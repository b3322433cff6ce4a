for target in postgresql://me:secret@nowhere/x#s 'postgresql://me@nowhere/x?password=secret#s'; do
    drmad worker --study "$target" || echo "status $?"
done
drmad tune "$ROOT/tests/cli/search.yaml" --store postgresql://me:secret@nowhere/x
