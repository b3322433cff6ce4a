# Activations that wait in bf16: less memory, nearly the weights of f32, the same bits with any
# number of threads and in a search that was cut; and no hypergradients.
cat >s.yaml <<'END'
name: half
data: {kind: synthetic-digits, train: 120, valid: 40, test: 40}
model: {preset: lenet5}
train: {steps: 12, batch: 40, activations: bf16}
retrain: {seeds: 1}
END
for threads in 1 3; do drmad train s.yaml -q -o "t$threads" "threads=$threads" >/dev/null; done
cmp t1/weights.safetensors t3/weights.safetensors && echo "the same bits"
drmad train s.yaml -q -o whole train.activations=f32 >/dev/null
for kept in bf16 f32; do drmad explain s.yaml -q "train.activations=$kept" >"$kept"; done
python3 - <<'END'
import array, json, math, re, struct

def weights(run):
    data = open(f"{run}/weights.safetensors", "rb").read()
    return array.array("f", data[8 + struct.unpack("<Q", data[:8])[0]:])

half, whole = weights("t1"), weights("whole")
apart = math.dist(half, whole) / math.hypot(*whole)
print("near" if 1e-7 < apart < 1e-3 else apart)
arena = {k: int(re.findall(r"(\d+) arena bytes", open(k).read())[0]) for k in ("bf16", "f32")}
print("smaller" if arena["bf16"] < 0.88 * arena["f32"] else arena)
END
search='parameters=[{name: optimizer.lr, low: 0.01, high: 0.1, log: true}]'
drmad tune s.yaml -q -o a store=sqlite:a.db "$search" search.trials=1 >/dev/null
for db in a b; do
    drmad tune s.yaml -q -o "$db" "store=sqlite:$db.db" "$search" search.trials=3 >/dev/null
    drmad export half --store "sqlite:$db.db" --meta "" >"$db.csv"
done
cmp a.csv b.csv && wc -l <a.csv
l2='hyper=[{kind: l2, per: layer, start: 1e-4}]'
for command in tune why check; do drmad "$command" s.yaml -q -o h "$l2" || echo "status $?"; done
drmad tune s.yaml -q -o h "$l2" --dry-run || echo "status $?"
drmad tune s.yaml -q -o h "$l2" "$search" || echo "status $?"
drmad tune s.yaml -q -o h "$l2" "$search" "stages=[search, refine, retrain]" || echo "status $?"
drmad tune s.yaml -q -o h "$search" search.gradients=true || echo "status $?"
drmad train s.yaml -q -o h dtype=f64 || echo "status $?"
