# a grown net computes the same: losses of a training that stands still, before and after
cat >s.yaml <<'Y'
data: {kind: synthetic-digits, train: 300, valid: 200, test: 100}
model: {preset: lenet5, width: 4}
train: {steps: 30, batch: 20}
output: {state: true}
Y
morphs="wider conv2=14, deeper conv2, wider conv2_2=17"
losses() {
    drmad train s.yaml -q --json "$@" | tail -1 |
        grep -oE '"(objective|test)_loss":[0-9]+\.[0-9]{3}'
}
losses -o a
drmad grow s.yaml a/state.safetensors -o b.safetensors --noise 0 \
    --wider conv2=14 --deeper conv2 -w conv2_2=17
losses -o b model.weights=b.safetensors optimizer.state=b.safetensors \
    optimizer.lr=0 train.steps=1 "model.grow=[$morphs]" >after
losses -o c model.weights=a/weights.safetensors optimizer.lr=0 train.steps=1 |
    diff - after && echo the same
