drmad study create -q sqlite:x.db#first >/dev/null
drmad study delete sqlite:x.db#first --yes >/dev/null
drmad study list --store sqlite:x.db
drmad study create -q sqlite:x.db#a
drmad study create -q sqlite:x.db#b -d maximize
drmad study create -q 'sqlite:x.db#b c' -d minimize,minimize
drmad study list --store sqlite:x.db
drmad study list --store sqlite:x.db --json |
    python3 -c 'import json, sys; [print(s["name"]) for s in json.load(sys.stdin)["studies"]]'
