#!/usr/bin/env bash
# Installs what building and running need system-wide, if it is missing: ffmpeg and a C toolchain (for SQLite).
# Debian and Ubuntu. Every command that changes the system is shown before it runs. Starts no service.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }

packages=()
have ffmpeg && have ffprobe || packages+=(ffmpeg)
have cc || packages+=(build-essential)

if ! have cargo; then
    echo "setup: Rust is missing; install it from https://rustup.rs and run this again" >&2
    exit 1
fi
[ ${#packages[@]} -eq 0 ] && exit 0

if ! have apt-get; then
    echo "setup: please install these with your package manager: ${packages[*]}" >&2
    exit 1
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo; then
        echo "setup: not root and no sudo; please have these installed: ${packages[*]}" >&2
        exit 1
    fi
    sudo=(sudo)
fi

run() {
    echo "+ $*" >&2
    "$@"
}

run "${sudo[@]}" apt-get update -q
run "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
