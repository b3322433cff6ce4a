# LeNet-5 on MNIST (drawn digits where there is none), tuned: PyTorch's names in the weights, which
# load again.
kind=mnist
[ -d "$DRMAD_DATA/mnist" ] || kind=synthetic-digits
study="$ROOT/examples/mnist-lenet.yaml data.kind=$kind data.train=200 data.valid=100 data.test=100
    train.steps=20 train.batch=20 outer.steps=2 retrain.seeds=1 -q"
# shellcheck disable=SC2086 # a list of words
drmad tune $study -o r | head -3
python3 - <<'END'
import json, struct
f = open("r/weights.safetensors", "rb")
head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
for name in ("conv1.weight", "fc1.weight", "fc3.bias"):
    print(name, head[name]["shape"])
END
# shellcheck disable=SC2086
drmad train $study -o again model.weights=r/weights.safetensors | head -2 | tail -1
