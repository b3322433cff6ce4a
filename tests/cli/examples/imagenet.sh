data=${DRMAD_DATA:-$ROOT/../shared/data}
make="python3 $ROOT/examples/imagenet/make_shards.py"
tar -xf "$data/imagenet-samples.tar"
train=imagenet-samples/val
$make $train shards train --per 40
# the same as ImageNet's own archive has it: a tar of a tar a class, and a flat validation set
mkdir classes flat
for d in $train/*/; do n=$(basename "$d"); tar -cf "classes/$n.tar" -C "$d" .; done
tar -cf nested.tar -C classes .
$make nested.tar shards nested --per 100
for f in $train/*/*; do
    cp "$f" flat
    echo "$(basename "$f" .JPEG),$(basename "$(dirname "$f")") 1 2"
done >labels.csv
tar -cf flat.tar -C flat .
$make flat.tar shards flat --labels labels.csv --per 100
cat >study.yaml <<'END'
data: {kind: shards, dir: shards, images: 'train-{0000..0002}.tar', test_images: flat-0000.tar,
       size: 32, train: 80, valid: rest, test: rest, crop: random-resized, flip: true}
model: {layers: [auto, 4, auto]}
train: {steps: 4, batch: 20}
END
drmad data stat study.yaml -q | grep -v second
drmad data stat study.yaml -q data.images=nested-0000.tar data.test_images= data.test=0 |
    grep -v second
drmad train study.yaml -q -o out | tail -1
