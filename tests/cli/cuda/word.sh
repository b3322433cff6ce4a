for device in gpu cuda:x cuda:1234 CUDA; do
    drmad train "$ROOT/tests/cli/tiny.yaml" device=$device && exit 1
done
exit 2
