tar -xf "${DRMAD_DATA:-$ROOT/../shared/data}/cifar10-imagefolder.tar" --wildcards '*/000[0-4].jpg'
printf 'no picture' >c10/train/cat/0001.jpg
printf 'x' >c10/val/dog/notes.txt
drmad data stat c10 data.size=32
drmad data stat c10 -q --json data.size=32 | python3 -c "
import json, sys
r = json.load(sys.stdin)
train = r['train']
print(train['bad'], r['test']['bad'], train['classes'], train['pictures_per_second'] > 0)"
