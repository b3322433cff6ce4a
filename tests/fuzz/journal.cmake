fuzzer(journal store)
