#!/usr/bin/env bash
# Fetches the programs of test-tools.list (Debian packages: `apt-get download`, then `dpkg -x`, so that no package script runs
# and no service is started), test-tools.pip (PyPI) and test-tools.npm into target/tools. Outside target/ only a few small packages are installed,
# if they are missing; the command is shown. What is there already is not fetched again.
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
    [ -e "$link" ] && continue
    # Another program of the same package may have brought it.
    if [ -e "$tools/$package/$program" ]; then
        ln -sfn "../$package/$program" "$link"
        continue
    fi
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

# A kernel for the virtual machine of one test: of the distribution's newest.
kernel=$tools/vm-kernel
if [ ! -e "$kernel" ] && command -v apt-get >/dev/null; then
    # Debian's, or Ubuntu's.
    newest() {
        apt-cache depends linux-image-cloud-amd64 linux-image-virtual 2>/dev/null |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | tail -n 1
    }
    package=$(newest)
    [ -n "$package" ] || { apt-get update -q; package=$(newest); }
    echo "+ apt-get download $package   (unpacked under target/tools, not installed)" >&2
    fetch "$package"
    rm -rf "$kernel.new"
    dpkg -x "$tools"/download/"${package}"_*.deb "$kernel.new"
    rm -rf "$kernel.new/lib" "$tools"/download/"${package}"_*.deb
    mv "$kernel.new" "$kernel"
fi

# What some tests run from the system itself: namespaces for two machines, a machine of its own, the formatter of manual pages, Python's environments,
# node, and a Rust compiler for wasm where rustup has none.
packages=()
command -v ip >/dev/null || packages+=(iproute2)
command -v groff >/dev/null || packages+=(groff-base)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
[ -x /bin/busybox ] && /bin/busybox --list | grep -qx cpio || packages+=(busybox-static)
command -v npm >/dev/null || packages+=(nodejs npm)
[ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ] || [ -d /usr/lib/rustlib/src/rust/library ] ||
    packages+=(rustc-web rust-web-src)
if [ ${#packages[@]} -gt 0 ]; then
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    echo "+ ${sudo[*]} apt-get update; apt-get install ${packages[*]}" >&2
    "${sudo[@]}" apt-get update -q
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

# Python programs: each in a folder of its own, at the version named.
grep -v '^#' "$PWD/scripts/test-tools.pip" | while IFS='=' read -r package _ version; do
    [ -n "$package" ] || continue
    folder=$tools/$package
    [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && continue
    rm -rf "$folder"
    echo "+ pip install $package==$version   (into target/tools/$package)" >&2
    python3 -m venv "$folder"
    "$folder/bin/pip" install -q --disable-pip-version-check "$package==$version"
    echo "$version" >"$folder/version"
done

# What policies in JavaScript are made with: each in a folder of its own, at the version named.
grep -v '^#' "$PWD/scripts/test-tools.npm" | while read -r package version; do
    [ -n "$package" ] || continue
    folder=$tools/${package##*/}
    [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && continue
    rm -rf "$folder"
    mkdir -p "$folder"
    echo "+ npm install $package@$version   (into target/tools/${package##*/})" >&2
    npm install --silent --no-fund --no-audit --prefix "$folder" "$package@$version"
    echo "$version" >"$folder/version"
done
