# Study files: included by tests/fuzz/CMakeLists.txt, which defines fuzzer().
fuzzer(yaml config)
