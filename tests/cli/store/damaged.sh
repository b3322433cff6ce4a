# Stores that cannot be used: each says why and what to do, none is changed.
drmad study create -q sqlite:x.db#s
change() { python3 -c 'import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db: db.execute(sys.argv[2])' "$@"; }
for f in older newer ours half; do cp x.db $f.db; done
change older.db "UPDATE alembic_version SET version_num = 'v3.0.0.d'"
change newer.db "UPDATE alembic_version SET version_num = 'v9.9.9.a'"
change ours.db "UPDATE drmad_schema SET version = 99"
change half.db "DROP TABLE trial_values"
head -c 3000 x.db >torn.db
echo text >text.db
sha256sum -- *.db >before
for f in older newer ours half torn text; do
    drmad study list -q --store sqlite:$f.db 2>&1 || echo "$f: $?"
    drmad store check sqlite:$f.db 2>/dev/null | grep -c '^damaged' | sed "s/^[1-9].*/$f: found/"
done
sha256sum -c --quiet before && echo unchanged
