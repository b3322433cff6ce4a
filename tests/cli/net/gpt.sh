# Token ids, a byte each: rows of 9, of which the net reads 8 and predicts the last 8.
python3 - <<'END'
def npy(path, shape, data):
    head = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }" % (shape,)
    head = head.ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little")
    open(path, "wb").write(start + head.encode() + data)
rows = [bytes((r + 3 * i) % 7 for i in range(9)) for r in range(100)]
npy("x.npy", (100, 9), b"".join(rows))
npy("y.npy", (100,), bytes(100))
END
cat >s.yaml <<'END'
name: gpt
data: {kind: npy, images: x.npy, labels: y.npy, train: 60, valid: 20, test: 20}
model: {preset: gpt-nano, width: 12, depth: 1, heads: 2}
train: {steps: 60, batch: 10}
optimizer: {kind: adamw, lr: 0.02}
hyper: [{kind: lr, per: layer}]
outer: {steps: 1}
retrain: {seeds: 1}
END
drmad tune s.yaml -q -o r | sed -n 2p
python3 - <<'END'
import json
best = json.load(open("r/result.json"))["best_objective"]
print("learned" if best < 0.5 else best)  # guessing: ln 7 = 1.95
END
