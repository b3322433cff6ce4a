# The space of a search: included by tests/fuzz/CMakeLists.txt, which defines fuzzer().
fuzzer(expr space)
fuzzer(search space)
