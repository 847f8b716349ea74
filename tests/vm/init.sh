#!/bin/busybox sh
# The first process of the virtual machine that `tests/e2e/vm.rs` boots: a master, a worker and jobs on a kernel whose control
# groups are all of version 2, and what the kernel then says of them. One line for each thing that must hold, `vm: ok NAME` or
# `vm: not ok NAME: what was found`, and `vm: end` when all was tried. The machine has one processor, so two jobs compete.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
mkdir -p /root /policies /films
echo 'root:x:0:0:root:/root:/bin/sh
media:x:1000:1000:Media:/films:/bin/sh' >/etc/passwd
echo 'media:x:1000:
render:x:105:media' >/etc/group
chown 1000:1000 /films

say() { echo "vm: $*"; }
# check NAME FOUND WANTED: equal
check() {
  if [ "$2" = "$3" ]; then say "ok $1"; else say "not ok $1: $2, not $3"; fi
}
# between NAME FOUND LEAST MOST
between() {
  if [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then say "ok $1 ($2)"; else say "not ok $1: $2 is not $3 to $4"; fi
}
# holds NAME FOUND PART: contains
holds() {
  case $2 in *"$3"*) say "ok $1" ;; *) say "not ok $1: $2" ;; esac
}
# Waits until a command succeeds, for three minutes.
await() {
  for _ in $(seq 900); do
    "$@" >/tmp/said 2>&1 && return
    sleep 0.2
  done
  say "not ok await $*: $(tail -3 /tmp/said)"
  tail -20 /worker.log
}
ready() { ffrtmp nodes list -o jsonl | grep -q '"available"'; }
running() { ffrtmp jobs status "$1" -o json | grep -q '"state": *"running"'; }
over() { ffrtmp jobs status "$1" -o json | grep -qE '"state": *"(completed|failed|canceled)"'; }
gone() { [ ! -e "$1" ]; }
ended() { ! kill -0 "$1" 2>/dev/null; }
# worker LIMITS FLAG...
worker() {
  limits=$1
  shift
  ffrtmp worker --name w --slots 4 --state-dir /state --no-metrics --job-limits "$limits" "$@" 2>>/worker.log &
  pid=$!
  await ready
}
used() { sed -n 's/^usage_usec //p' "$1/cpu.stat"; }
centiseconds() { cut -d' ' -f1 /proc/uptime | tr -d .; }

ffrtmp master --data-dir /data --policies /policies --no-metrics 2>/master.log &
worker cap
groups=$(echo /sys/fs/cgroup/ffrtmp-*)
holds 'nodes describe tells of the limits' "$(ffrtmp nodes describe w)" \
  'limits: no more than is reserved, cgroup v2: cpu, io, memory, pids'

# A third of the processor and no more, though nobody else wants it.
job=$(ffrtmp jobs submit -q --duration 3600 --size 640x360 --audio none --retries 0 --resources cpu=0.3,memory=300M)
await running "$job"
group=$groups/$job.1
check 'the processor is capped' "$(cat "$group/cpu.max")" '30000 100000'
check 'memory is capped' "$(cat "$group/memory.max")" 314572800
check 'processes are bounded' "$(cat "$group/pids.max")" 4096
from=$(used "$group") since=$(centiseconds)
sleep 6
took=$(($(used "$group") - from)) time=$(($(centiseconds) - since))
between 'permille of a core that 0.3 got' $((took / (time * 10))) 150 360
ffrtmp jobs cancel "$job" >/dev/null
await over "$job"
await gone "$group"
say 'ok the group goes with the job'

# More memory than reserved: the job says so, and nothing else dies.
job=$(ffrtmp jobs submit -q --duration 60 --size 3840x2160 --audio none --retries 0 --resources memory=64M)
await over "$job"
holds 'who uses more memory than reserved is told so' "$(ffrtmp jobs status "$job")" 'more than the 64 MiB of memory it reserved'
await ready
check 'the worker outlives it' "$(ended $pid && echo dead || echo alive)" alive
kill -TERM $pid
await ended $pid
await gone "$groups"
say 'ok no group is left when the worker ends'

# Shares: where two compete, four to one.
worker share
long='--duration 3600 --size 640x360 --audio none'
big=$(ffrtmp jobs submit -q $long --resources cpu=1)
small=$(ffrtmp jobs submit -q $long --resources cpu=0.25)
await running "$big"
await running "$small"
check 'nothing is capped' "$(cat "$groups/$big.1/cpu.max")" 'max 100000'
from_big=$(used "$groups/$big.1") from_small=$(used "$groups/$small.1")
sleep 10
big_took=$(($(used "$groups/$big.1") - from_big)) small_took=$(($(used "$groups/$small.1") - from_small))
between 'percent of what the small one got that the big one got' $((big_took * 100 / (small_took + 1))) 250 600

# What a killed worker leaves is gone when it is back.
kill -KILL $pid
await ended $pid
check 'the group is left' "$([ -e "$groups/$big.1" ] && echo left)" left
worker share
check 'the next start removes it' "$([ -e "$groups/$big.1" ] && echo left)" ''
kill -TERM $pid
await ended $pid

# Another user, in a control group that only root may put it into; and a kernel whose Landlock does not know everything yet.
worker cap --run-as media
describe=$(ffrtmp nodes describe w)
holds 'an old kernel protects files' "$describe" 'files: ffmpeg opens its job'
holds 'an old kernel says what it lacks' "$describe" 'connections: does not hold: '
holds 'another user makes up for what it lacks' "$describe" 'processes: ffmpeg is another user'
job=$(ffrtmp jobs submit -q --duration 3600 --size 640x360 --audio none --output /films/a.mkv)
await running "$job"
ffmpeg=$(head -1 "$groups/$job.1/cgroup.procs")
check 'ffmpeg is that user' "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$ffmpeg/status")" 1000
check 'it has nothing of root' "$(sed -n 's/^CapEff:\t//p' "/proc/$ffmpeg/status")" 0000000000000000
check 'its calls are filtered' "$(sed -n 's/^Seccomp:\t//p' "/proc/$ffmpeg/status")" 2
ffrtmp jobs cancel "$job" >/dev/null
await over "$job"
job=$(ffrtmp jobs submit -q --duration 1 --size 320x180 --audio none --output /films/b.mkv)
await over "$job"
check 'what it makes is its own' "$(stat -c %u:%g /films/b.mkv)" 1000:1000
# A killed worker takes it along: a change of user takes the kernel's promise of that back, if it is not made after.
job=$(ffrtmp jobs submit -q --duration 3600 --size 640x360 --audio none)
await running "$job"
ffmpeg=$(head -1 "$groups/$job.1/cgroup.procs")
kill -KILL $pid
await ended "$ffmpeg"
say 'ok another user dies with the worker'
if ffrtmp worker --name v --state-dir /other --no-metrics --sandbox require 2>/require.log; then
  say 'not ok a worker that requires what is not there starts'
else
  holds 'a worker that requires what is not there says what' "$(cat /require.log)" 'connections do not hold here'
fi
say end
poweroff -f
