# Exported graphs.
fuzzer(graph import)
