drmad study create sqlite:x.db#s
drmad study create s --store sqlite:x.db
DRMAD_STORAGE=sqlite:x.db drmad study create 'a"b' -d minimize,maximize --json
drmad study create s # sqlite:drmad.db
stat -c %A drmad.db
