# A password on the command line is refused by every command, and repeated by none.
url='postgresql://me:hidden@127.0.0.1:1/x'
try() {
    local name=$1 status=0
    shift
    drmad "$@" >>said 2>&1 || status=$?
    echo "$name $status"
}
try 'study list' study list --store "$url"
try 'study show' study show "$url#s"
try 'study delete' study delete --yes "postgres://127.0.0.1:1/x?user=me&password=hidden#s"
try 'export' export "$url#s"
try 'store check' store check "$url"
try 'store upgrade' store upgrade --store "$url"
try 'import hypero' import hypero --from "$url"
try 'store hypero-views' store hypero-views --store "$url"
try 'tune' tune study.yaml store="$url"
try 'tune' tune study.yaml --set=store="$url"
if grep hidden said; then exit 9; fi
grep -o PGPASSFILE said | sort -u
