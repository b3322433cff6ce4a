#!/usr/bin/env bash
# exports.sh BUILD: the libraries export what cmake/abi.txt lists, the headers declare just that.
set -eu
build=$1
status=0

verdict() { # NAME, two files that must be equal
    local changes
    changes=$(diff "$2" "$3" | sed -n 's/^\([<>] \)/  \1/p')
    if [ -n "$changes" ]; then
        printf '%s\n' "$changes" "FAIL $1"
        status=1
    else
        echo "PASS $1"
    fi
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# U is what it needs; A is the version node itself
nm -D --defined-only "$build/libdrmad.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    LC_ALL=C sort >"$tmp/shared"
nm -g --defined-only "$build/libdrmad.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort >"$tmp/static"
cat include/drmad/*.h | tr '\n' ' ' | grep -oE 'DRMAD_API [^;]*;' |
    grep -oE 'drmad_[a-z0-9_]+ ?\(' | tr -d ' (' | LC_ALL=C sort -u >"$tmp/headers"

verdict abi_shared_library_exports_the_list cmake/abi.txt "$tmp/shared"
verdict abi_static_library_exports_the_list cmake/abi.txt "$tmp/static"
verdict abi_headers_declare_the_list cmake/abi.txt "$tmp/headers"
exit $status
