#!/usr/bin/env bash
# headers.sh BUILD: each public header compiles alone, as C11 and as C++, with every warning on.
set -eu
status=0
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
warn="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude"
for h in include/drmad/*.h; do
    name=$(basename "$h" .h)
    # shellcheck disable=SC2086 # a list of words
    if said=$(echo "#include \"drmad/$name.h\"" >"$tmp" &&
        gcc -std=c11 $warn -xc "$tmp" 2>&1 && g++ -std=c++11 $warn -xc++ "$tmp" 2>&1); then
        echo "PASS header_$name"
    else
        printf '%s\n' "$said" | sed 's/^/  /'
        echo "FAIL header_$name"
        status=1
    fi
done
exit $status
