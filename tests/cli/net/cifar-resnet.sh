# A residual net with batch norm on a folder of pictures: CIFAR-10's, or 40 drawn ones in CIFAR's
# binary layout where they are not there. Running statistics are among the weights, and are what an
# evaluation uses. In double: with ReLU the audit of six steps in single may be some per cent off
# (MATH.md, section 11).
if [ -e "$DRMAD_DATA/cifar10-imagefolder.tar" ]; then
    tar xf "$DRMAD_DATA/cifar10-imagefolder.tar" c10/train
    data="data.kind=folder data.dir=c10/train data.size=32"
else
    mkdir c10
    python3 - <<'END'
import random
draw = random.Random(1)
rows = lambda n: b"".join(bytes([i % 10]) + draw.randbytes(3072) for i in range(n))
for i in range(1, 6):
    open(f"c10/data_batch_{i}.bin", "wb").write(rows(40))
open("c10/test_batch.bin", "wb").write(rows(40))
END
    data="data.kind=cifar data.dir=c10"
fi
cat >s.yaml <<'END'
name: resnet
dtype: f64
data: {train: 60, valid: 40, test: 40, flip: true}
model: {preset: resnet8, width: 4}
train: {steps: 6, batch: 20}
hyper:
  - {kind: lr, per: layer}
  - {kind: weight_decay, per: unit-out, start: 1e-4}
outer: {steps: 1, audit_every: 1}
retrain: {seeds: 1}
END
# shellcheck disable=SC2086 # a list of words
drmad tune s.yaml $data -q -o r | sed -n 2,3p
python3 - <<'END'
import json, struct
f = open("r/weights.safetensors", "rb")
head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
for name in ("conv1.weight", "layer2.0.downsample.0.weight", "layer3.0.bn2.running_var"):
    print(name, head[name]["shape"])
for line in open("r/log.jsonl"):
    e = json.loads(line)
    if "audit" in e:
        a = e["audit"]
        print("audit agrees", abs(a["exact"] - a["hypergradient"]) <= 0.01 * abs(a["exact"]))
END
