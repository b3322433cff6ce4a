# For other machines: a file with the whole URL, which only its owner can read.
chmod 755 .
url=$(drmad store start --bind 127.0.0.1 --folder "$PWD/pg")
trap 'drmad store stop --folder "$PWD/pg"' EXIT
stat -c %A drmad-store.url
drmad study create -q "$url#s"
DRMAD_STORAGE=$(cat drmad-store.url) drmad study list | tail -1
drmad store start --bind 127.0.0.1 --folder "$PWD/pg" || echo "status $?"
