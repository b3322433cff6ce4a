DRMAD_CUDA_LIBRARY=libm.so.6 drmad train "$ROOT/tests/cli/tiny.yaml" device=cuda:0
