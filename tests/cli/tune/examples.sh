# the examples load and can be tuned, here on drawn digits (those of ImageNet: tests/cli/imagenet)
for study in "$ROOT"/examples/mnist-*.yaml; do
    drmad tune "$study" --dry-run --json -q data.kind=synthetic-digits data.test=100 >line
    basename "$study"
    python3 -m json.tool line >/dev/null
done
ls
