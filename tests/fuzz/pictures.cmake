# Readers of pictures and archives: included by tests/fuzz/CMakeLists.txt, which defines fuzzer().
fuzzer(image data attacks/image)
fuzzer(npz data attacks/npz)
fuzzer(shard data attacks/shard)
fuzzer(cifar data attacks/cifar)
