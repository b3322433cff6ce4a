# Strengths of variations are tuned; what has no images cannot be erased from, nor token ids varied.
cat >s.yaml <<'EOF'
name: varied
data: {kind: synthetic-digits, train: 60, valid: 40, test: 40}
model: {preset: lenet5}
train: {steps: 6, batch: 20, contrast: 0.2}
hyper: [noise, {kind: brightness, phases: 2}, erasing, contrast, mixup]
outer: {steps: 2}
retrain: {seeds: 1}
EOF
drmad tune s.yaml -q -o r | sed -n '/^knob /,/^$/p'
sed 's/preset: lenet5/layers: [auto, 10, auto]/' s.yaml >rows.yaml
drmad tune rows.yaml -q -o m || echo "status $?"
drmad train rows.yaml -q -o t "hyper=[]" train.erasing=0.5 || echo "status $?"
drmad tune rows.yaml -q -o v "hyper=[noise, contrast]" | grep -c "^noise\|^contrast"
# An evaluation sees the inputs as they are.
for noise in 0 5; do
    drmad train s.yaml -q -o "n$noise" "hyper=[]" train.contrast=0 "train.noise=$noise" \
        optimizer.lr=0 | grep "^run "
done | sort -u | wc -l
