#!/bin/sh
# Makes the secrets that `compose.yaml` mounts, once, and the folder for media: a token for the cluster and a password for Grafana's
# administrator. What is there already is kept. The folder of secrets is closed to others; the files in it are not, because
# each container reads them as a user of its own.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p secrets media
chmod 700 secrets
# Jobs write there as user 10001.
chmod 1777 media
for name in token grafana_admin_password; do
    [ -s "secrets/$name" ] && continue
    # 32 bytes of the kernel's random source, in hexadecimal.
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name.new"
    mv "secrets/$name.new" "secrets/$name"
    echo "made $PWD/secrets/$name"
done
