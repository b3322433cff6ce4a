# A server of one's own: its URL works, holds no password, is the same the next time, and is gone
# after stop. Started by root it runs as another user, who must reach the folder.
chmod 755 .
mkdir t
url=$(drmad store start-local --folder "$PWD/t/pg")
trap 'drmad store stop --folder "$PWD/t/pg"' EXIT
echo "$url"
drmad study create -q "$url#s"
DRMAD_STORAGE=$url drmad study list | tail -1
[ "$(drmad store start-local -q --folder "$PWD/t/pg")" = "$url" ] && echo same
drmad store check "$url"
stat -c %A t/pg/pgpass
! echo "$url" | grep -qF "$(cut -d: -f5 t/pg/pgpass)"
drmad store stop --folder "$PWD/t/pg"
drmad study list --store "$url" 2>/dev/null || echo "stopped $?"
