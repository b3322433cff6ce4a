# Teachers that cannot be.
cat >s.yaml <<'END'
name: student
data: {kind: synthetic-digits, train: 60, valid: 40, test: 40}
model: {layers: [auto, 6, auto]}
train: {steps: 6, batch: 10}
hyper: [distill_weight]
distill: {study: t/study.yaml}
END
sed '/^hyper/d; /^distill/d; s/student/teacher/' s.yaml >teacher.yaml
drmad train teacher.yaml -q -o t >/dev/null
try() { drmad tune s.yaml -q -o r "$@" || echo "status $?"; }
try distill.study=none.yaml
try distill.study=teacher.yaml
try distill.weights=none.safetensors
sed 's/auto, 6, auto/auto, 7, auto/' teacher.yaml >wide.yaml
try distill.study=wide.yaml distill.weights=t/weights.safetensors
sed 's/auto, 6, auto/auto, 6, 12/' teacher.yaml >more.yaml
try distill.study=more.yaml distill.weights=t/weights.safetensors
try distill.study= distill.logits=none.npy
python3 - <<'END'
def npy(path, kind, shape, data):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    head = head.ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little")
    open(path, "wb").write(start + head.encode() + data)
npy("few.npy", "<f4", (7, 10), bytes(280))
npy("nan.npy", "<f4", (100, 10), bytes(3996) + b"\x00\x00\xc0\x7f")
END
try distill.study= distill.logits=few.npy
try distill.study= distill.logits=nan.npy
