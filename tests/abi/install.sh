#!/usr/bin/env bash
# install.sh BUILD: installs, moves the tree, and builds a small program against it in the three
# ways that users have.
set -euo pipefail
build=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cmake --install "$build" --prefix "$tmp/first" >"$tmp/log"
mv "$tmp/first" "$tmp/moved"
export PKG_CONFIG_PATH="$tmp/moved/lib/pkgconfig"
version=$(sed -n 's/^project(drmad VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
status=0

verdict() { # NAME COMMAND...: what it prints must be the version
    local name=$1 got
    shift
    if got=$("$@" 2>&1) && [ "$got" = "$version" ]; then
        echo "PASS $name"
    else
        printf '%s\n' "$got" | sed 's/^/  /'
        echo "FAIL $name"
        status=1
    fi
}

with_pkg_config() {
    # shellcheck disable=SC2046 # lists of words
    gcc tests/abi/version.c $(pkg-config --cflags --libs drmad) -o "$tmp/shared" &&
        LD_LIBRARY_PATH="$tmp/moved/lib" "$tmp/shared"
}

with_static_library() {
    # shellcheck disable=SC2046 # lists of words
    gcc tests/abi/version.c $(pkg-config --cflags --static --libs drmad |
        sed 's/-ldrmad/-l:libdrmad.a/') -o "$tmp/static" && "$tmp/static"
}

with_find_package() {
    {
        cmake -S tests/abi -B "$tmp/cmake" -DCMAKE_PREFIX_PATH="$tmp/moved" &&
            cmake --build "$tmp/cmake"
    } >"$tmp/log" 2>&1 || cat "$tmp/log"
    "$tmp/cmake/version"
}

the_command() {
    "$tmp/moved/bin/drmad" version | sed -n 's/^drmad *//p'
}

with_luajit() {
    LUA_PATH="$tmp/moved/share/lua/5.1/?.lua" LD_LIBRARY_PATH="$tmp/moved/lib" \
        luajit -e 'print(require("drmad").version)'
}

verdict install_pkg_config with_pkg_config
verdict install_static_library with_static_library
verdict install_find_package with_find_package
verdict install_command the_command
verdict install_luajit with_luajit
exit $status
