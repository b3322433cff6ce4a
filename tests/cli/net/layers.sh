# A list of layers; and what does not fit, by the name of the layer.
cat >s.yaml <<'END'
name: layers
data: {kind: synthetic-digits, train: 60, valid: 40, test: 40}
model:
  net:
    - {kind: conv, name: conv1, out: 4, kernel: 3, stride: 2, padding: 1, bias: false}
    - {kind: batch_norm, name: bn1}
    - {kind: relu, name: act}
    - {kind: conv, name: conv2, out: 4, kernel: 3, padding: 1}
    - {kind: add, from: [act, conv2]}
    - {kind: dropout, rate: 0.2}
    - {kind: global_avg_pool}
    - {kind: linear, name: fc, out: 10}
train: {steps: 6, batch: 20}
hyper: [{kind: dropout, start: 0.2}, {kind: lr, per: layer}]
outer: {steps: 1}
retrain: {seeds: 1}
END
drmad tune s.yaml -q -o r | sed -n 2,3p
drmad train s.yaml -q -o t "model.net.4.from=[conv1, fc]" || echo "status $?"
drmad train s.yaml -q -o t model.net.7.out=9 || echo "status $?"
drmad train s.yaml -q -o t "model.net=[{kind: linear, name: head, out: 10}]" || echo "status $?"
drmad train s.yaml -q -o t model.preset=lenet5 || echo "status $?"
drmad train s.yaml -q -o t "model.net.3.padding=[2, 1]" || echo "status $?"
drmad train s.yaml -q -o w "model.net.3.kernel=[3, 5]" "model.net.3.padding=[1, 2]" \
    "model.net.0.stride=[2, 1]" | sed -n 2p
