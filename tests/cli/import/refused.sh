# another net's weights are refused before anything runs
cp -r "$ROOT/tests/import/zoo/losses" a
cp "$ROOT/tests/import/zoo/norms/weights.safetensors" a/
drmad import a
