#!/usr/bin/env bash
# headers.sh BUILD: each public header compiles alone, as C11 and as C++, with every warning on.
set -eu
status=0
warn="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude"
for h in include/drmad/*.h; do
    name=$(basename "$h" .h)
    # shellcheck disable=SC2086 # a list of words
    if echo "#include \"drmad/$name.h\"" | gcc -std=c11 $warn -xc - 2>&1 | sed 's/^/  /' | grep . ||
        echo "#include \"drmad/$name.h\"" | g++ -std=c++11 $warn -xc++ - 2>&1 | sed 's/^/  /' | grep .; then
        echo "FAIL header_$name"
        status=1
    else
        echo "PASS header_$name"
    fi
done
exit $status
