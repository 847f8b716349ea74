#!/usr/bin/env bash
# `make install` and `make uninstall`: the binary, the services, manual pages and completions of a machine without containers.
#
#   scripts/install.sh install | uninstall      DESTDIR and PREFIX (/usr/local) as usual
#
# Settings that are there already are kept, and nothing is started: which service a machine runs is its owner's choice. With DESTDIR
# (packages) only files are made. What is kept on uninstalling is said.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
share=$root$prefix/share
units=$root/etc/systemd/system
# Packages' own places, under DESTDIR; an administrator's, without.
if [ -n "$root" ]; then units=$root/usr/lib/systemd/system; fi
sysusers=$root/usr/lib/sysusers.d/ffrtmp.conf
tmpfiles=$root/usr/lib/tmpfiles.d/ffrtmp.conf
shells=("$share/bash-completion/completions/ffrtmp" "$share/zsh/site-functions/_ffrtmp" "$share/fish/vendor_completions.d/ffrtmp.fish")

die() { echo "install: $*" >&2 && exit 1; }
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
put() { install -D -m "$1" "$2" "$3"; }
# Kept, if there.
keep() { if [ -e "$3" ]; then echo "kept    $3"; else put "$@" && echo "made    $3"; fi; }

install_all() {
    [ -x bin/ffrtmp ] || die "there is no bin/ffrtmp yet; run: make build"
    [ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "this writes below $prefix and /etc; run: sudo make install"
    put 755 bin/ffrtmp "$root$prefix/bin/ffrtmp"
    for unit in master worker; do
        sed "s|/usr/local/bin/ffrtmp|$prefix/bin/ffrtmp|" "deploy/systemd/ffrtmp-$unit.service" |
            install -D -m 644 /dev/stdin "$units/ffrtmp-$unit.service"
        keep 644 "deploy/systemd/$unit.env" "$root/etc/ffrtmp/$unit.env"
    done
    put 644 deploy/systemd/ffrtmp.sysusers.conf "$sysusers"
    put 644 deploy/systemd/ffrtmp.tmpfiles.conf "$tmpfiles"
    keep 644 policies/balanced.wasm "$root/etc/ffrtmp/policies/balanced.wasm"
    for file in policies/bundled/*; do put 644 "$file" "$share/ffrtmp/policies/$(basename "$file")"; done
    for file in deploy/rules/*.yml; do put 644 "$file" "$share/ffrtmp/rules/$(basename "$file")"; done
    put 644 deploy/victoriametrics/scrape.yml "$share/ffrtmp/scrape.yml"
    bin/ffrtmp man --dir "$share/man/man1" >/dev/null
    local i=0 shell
    for shell in bash zsh fish; do
        bin/ffrtmp completions "$shell" | install -D -m 644 /dev/stdin "${shells[$i]}"
        i=$((i + 1))
    done
    if [ -z "$root" ]; then
        if [ ! -e /etc/ffrtmp/admin.token ]; then
            (umask 077 && bin/ffrtmp token >/etc/ffrtmp/admin.token)
            echo "made    /etc/ffrtmp/admin.token"
        fi
        if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$sysusers"; fi
        if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create "$tmpfiles"; fi
        if live; then systemctl daemon-reload; fi
    fi
    echo "installed below $root$prefix; next: docs/DEPLOYMENT.md"
}

uninstall_all() {
    [ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "this removes files below $prefix and /etc; run: sudo make uninstall"
    if live; then systemctl disable --now ffrtmp-worker ffrtmp-master 2>/dev/null || true; fi
    rm -f "$root$prefix/bin/ffrtmp" "$units"/ffrtmp-{master,worker}.service "$sysusers" "$tmpfiles" "${shells[@]}"
    rm -f "$share"/man/man1/ffrtmp.1 "$share"/man/man1/ffrtmp-*.1
    rm -rf "$share/ffrtmp"
    if live; then systemctl daemon-reload; fi
    echo "removed; kept: settings and tokens in $root/etc/ffrtmp, data in $root/var/lib/ffrtmp-master and $root/var/lib/ffrtmp-worker,"
    echo "and the users ffrtmp-master and ffrtmp-worker"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) die "say install or uninstall" ;;
esac
