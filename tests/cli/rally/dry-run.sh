# what each stage would take, before any work
drmad tune "$ROOT/tests/cli/rally.yaml" --dry-run -q
ls
