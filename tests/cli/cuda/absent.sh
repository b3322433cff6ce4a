DRMAD_CUDA_LIBRARY=$PWD/nowhere.so drmad train "$ROOT/tests/cli/tiny.yaml" device=cuda
