#!/bin/busybox sh
# What must hold of the units of deploy/systemd on the machine that `tests/e2e/vm_services.rs` boots, run there by systemd. One line for
# each thing, `vm: ok NAME` or `vm: not ok NAME: what was found`, and `vm: end` when all was tried.
/usr/bin/busybox --install -s /root/bin 2>/dev/null || { mkdir -p /root/bin; /usr/bin/busybox --install -s /root/bin; }
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/root/bin HOME=/root

say() { echo "vm: $*"; }
# check NAME FOUND WANTED: equal
check() {
  if [ "$2" = "$3" ]; then say "ok $1"; else say "not ok $1: $2, not $3"; fi
}
# holds NAME FOUND PART: contains
holds() {
  case $2 in *"$3"*) say "ok $1" ;; *) say "not ok $1: $(echo "$2" | tr '\n' ' ')" ;; esac
}
# Waits until a command succeeds, for four minutes.
await() {
  for _ in $(seq 1200); do
    "$@" >/tmp/said 2>&1 && return
    sleep 0.2
  done
  say "not ok await $*: $(tail -3 /tmp/said)"
  journal
}
journal() { journalctl -u ffrtmp-master -u ffrtmp-worker --no-pager -o cat | tail -40; }
succeeds() { # NAME COMMAND...
  name=$1
  shift
  if "$@" >/tmp/said 2>&1; then say "ok $name"; else
    say "not ok $name: $(tail -3 /tmp/said)"
    journal
  fi
}
running() { ffrtmp jobs status "$1" -o json | grep -q '"state": *"running"'; }
over() { ffrtmp jobs status "$1" -o json | grep -qE '"state": *"(completed|failed|canceled)"'; }
state() { ffrtmp jobs status "$1" -o json | sed -n 's/^  "state": *"\(.*\)",*/\1/p'; }
attempt() { ffrtmp jobs status "$1" -o json | sed -n 's/^  "attempt": *\([0-9]*\),*/\1/p'; }
main() { systemctl show -P MainPID "$1"; }
other_than() { [ "$(main "$2")" != 0 ] && [ "$(main "$2")" != "$1" ]; }
available() { ffrtmp nodes list -o jsonl | grep -q '"available"'; }

# What `make install` does.
systemd-sysusers
ffrtmp token >/etc/ffrtmp/admin.token
systemd-tmpfiles --create /usr/lib/tmpfiles.d/ffrtmp.conf
export FFRTMP_TOKEN_FILE=/etc/ffrtmp/admin.token
mkdir -p /srv/media
chown ffrtmp-worker /srv/media
check 'the token is the master'"'"'s alone' "$(stat -c '%U %a' /etc/ffrtmp/admin.token)" 'ffrtmp-master 600'

# Every instruction is translated here, beside other tests.
for unit in master worker; do
  mkdir -p /run/systemd/system/ffrtmp-$unit.service.d
  printf '[Service]\nTimeoutStartSec=900\n' >/run/systemd/system/ffrtmp-$unit.service.d/slow.conf
done
systemctl daemon-reload

# Started, they are ready.
succeeds 'the master starts' systemctl start ffrtmp-master
succeeds 'when it has started it is ready' ffrtmp ready --retry-for 0s
ffrtmp tokens create --role join --name here >/etc/ffrtmp/join.token
systemd-tmpfiles --create /usr/lib/tmpfiles.d/ffrtmp.conf
succeeds 'the worker starts' systemctl start ffrtmp-worker
await available
# On a machine as slow as this a trial can take too long; what failed is tried again at the next start.
proven() { ffrtmp nodes describe "$(ffrtmp nodes list -q)" | grep -q 'encoders *.*libx264'; }
for _ in 1 2 3 4 5; do
  proven && break
  systemctl restart ffrtmp-worker
  await available
done
check 'the master runs as its user' "$(stat -c %U /proc/"$(main ffrtmp-master)")" ffrtmp-master
check 'the worker runs as its user' "$(stat -c %U /proc/"$(main ffrtmp-worker)")" ffrtmp-worker
holds 'jobs are held to limits' "$(ffrtmp nodes describe "$(ffrtmp nodes list -q)")" 'cgroup v2: cpu, io, memory, pids'

# A job writes where jobs may, and nowhere else.
job=$(ffrtmp jobs submit -q --duration 1 --size 160x120 --audio none --output /srv/media/out.mp4)
await over "$job"
check 'a job completes' "$(state "$job")" completed
check 'its output is there' "$(stat -c %U /srv/media/out.mp4)" ffrtmp-worker
job=$(ffrtmp jobs submit -q --duration 1 --size 160x120 --audio none --output /etc/out.mp4 --retries 0)
await over "$job"
check 'nothing is written elsewhere' "$(state "$job") $(ls /etc/out.mp4 2>/dev/null)" 'failed '

# Settings are read again, in the group that was given away too.
succeeds 'the worker is reloaded' systemctl reload ffrtmp-worker
succeeds 'the master is reloaded' systemctl reload ffrtmp-master
check 'both run on' "$(systemctl is-active ffrtmp-master ffrtmp-worker | tr '\n' ' ')" 'active active '

# A master that is killed is back, and the encode does not notice.
long='--duration 3600 --size 640x360 --audio none'
job=$(ffrtmp jobs submit -q $long)
await running "$job"
before=$(main ffrtmp-master)
kill -KILL "$before"
await other_than "$before" ffrtmp-master
await ffrtmp ready
await running "$job"
check 'the encode outlives the master' "$(attempt "$job")" 1

# A worker that is killed is back, its encode is not left behind, and the job runs again.
before=$(main ffrtmp-worker)
kill -KILL "$before"
await other_than "$before" ffrtmp-worker
again() { [ "$(attempt "$job")" = 2 ] && running "$job"; }
await again
check 'the job of a killed worker runs again' "$(attempt "$job")" 2
check 'nothing is left of the first attempt' "$(pidof ffmpeg | wc -w)" 1
holds 'and is held to limits' "$(cat /proc/"$(pidof ffmpeg)"/cgroup)" "/$job.2"
ffrtmp jobs cancel "$job" >/dev/null
await over "$job"

# A stop drains: longer than the unit's own limit, because the worker asks for more time.
printf '[Service]\nTimeoutStopSec=3\nEnvironment=FFRTMP_WORKER_GRACE=600s\n' >/run/systemd/system/ffrtmp-worker.service.d/stop.conf
systemctl daemon-reload
systemctl restart ffrtmp-worker
await available
job=$(ffrtmp jobs submit -q --duration 8 --size 640x360 --encoder-preset slow --audio none --output /srv/media/drained.mp4)
await running "$job"
since=$(cut -d. -f1 /proc/uptime)
systemctl stop ffrtmp-worker
took=$(($(cut -d. -f1 /proc/uptime) - since))
check "a stop waits for the encode ($took s)" "$([ "$took" -gt 3 ] && state "$job") $(attempt "$job")" 'completed 1'
check 'the worker ended well' "$(systemctl show -P Result ffrtmp-worker)" success

# A backup of the running master is put in the place of its data.
succeeds 'a backup is made while it runs' ffrtmp backup --data-dir /var/lib/ffrtmp-master /srv/backup
jobs=$(ffrtmp jobs list -q | wc -l)
systemctl stop ffrtmp-master
check 'the master ended well' "$(systemctl show -P Result ffrtmp-master)" success
mv /var/lib/ffrtmp-master /var/lib/ffrtmp-master.old
cp -a /srv/backup /var/lib/ffrtmp-master
chown -R ffrtmp-master:ffrtmp-master /var/lib/ffrtmp-master
systemctl start ffrtmp-master
check 'the restored master has its jobs' "$(ffrtmp jobs list -q | wc -l)" "$jobs"
say end
sync
systemctl poweroff --force --force
