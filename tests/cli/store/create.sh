drmad study create -q sqlite:x.db#s
drmad study create -q s --store sqlite:x.db
DRMAD_STORAGE=sqlite:x.db drmad study create -q 'a"b' -d minimize,maximize --json
drmad study create -q s # sqlite:drmad.db
stat -c %A drmad.db
