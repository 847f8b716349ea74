#!/usr/bin/env bash
# Fetches the programs of test-tools.list into target/tools: `apt-get download`, then `dpkg -x`. No package script runs, so
# no service is started and nothing outside target/ changes (but for `apt-get update`, if the machine has no package lists).
set -euo pipefail
cd "$(dirname "$0")/.."

list=$PWD/scripts/test-tools.list
tools=$PWD/target/tools
mkdir -p "$tools/bin" "$tools/download"

# apt downloads as the user _apt, who may not be able to write here; it then says so and downloads as root, which is fine.
fetch() {
    (cd "$tools/download" && apt-get download -q "$1" 2>"$tools/apt.log")
}

grep -v '^#' "$list" | while read -r package program; do
    [ -n "$package" ] || continue
    link=$tools/bin/$(basename "$program")
    [ -x "$link" ] && continue
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        echo "test-tools: $package is fetched with apt-get and dpkg, which are missing here" >&2
        exit 1
    fi
    echo "+ apt-get download $package   (unpacked under target/tools, not installed)" >&2
    if ! fetch "$package"; then
        sudo=()
        [ "$(id -u)" -eq 0 ] || sudo=(sudo)
        echo "+ ${sudo[*]} apt-get update" >&2
        "${sudo[@]}" apt-get update -q
        fetch "$package" || { cat "$tools/apt.log" >&2; exit 1; }
    fi
    dpkg -x "$tools"/download/"${package}"_*.deb "$tools/$package"
    rm -f "$tools"/download/"${package}"_*.deb
    ln -sfn "../$package/$program" "$link"
done
