#!/usr/bin/env bash
# The demo behind `make demo`: a cluster of its own in a temporary folder, a real transcode placed by a wasm policy, another
# policy dropped in while it runs, and the metrics that moved. Asks nothing; leaves no process and no file; exits 0 only if
# everything shown was also checked.
set -euo pipefail
cd "$(dirname "$0")/.."

ffrtmp=$PWD/bin/ffrtmp
clip=$PWD/tests/media/bigbuckbunny.mp4
work=$(mktemp -d "${TMPDIR:-/tmp}/ffrtmp-demo.XXXXXX")
supervisor=
ok=no

# --- what is shown ----------------------------------------------------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' faint=$'\e[2m' plain=$'\e[0m'; else bold='' faint='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
shown() { printf '%s$ ffrtmp %s%s\n' "$faint" "$(show_words "$@")" "$plain" && "$ffrtmp" "$@"; }
show_words() { local text="$*"; text=${text//$work/\$DEMO}; echo "${text//$PWD\//}"; }
die() { echo "demo: $*" >&2 && exit 1; }

check() { # what, expected, found
    if [ "$2" = "$3" ]; then
        printf '  ok  %-12s %s\n' "$1" "$3"
    else
        die "$1 is ${3:-missing}, expected $2"
    fi
}

# --- tools of this script ---------------------------------------------------------------------------------------------

# The processes that have the demo's folder in their arguments: the cluster's, and any ffmpeg of theirs. (The pattern goes
# in on stdin, so that grep does not find itself.)
processes() {
    local file
    for file in $(grep -lsaF -f - /proc/[0-9]*/cmdline <<<"$work"); do
        file=${file#/proc/}
        echo "${file%/cmdline}"
    done
}

# The value of the first "key": value in indented JSON on stdin.
json() { sed -n "s/^ *\"$1\": \"\{0,1\}\(.*[^,\"]\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1; }

# GET http://127.0.0.1:port/path, without needing curl. HTTP/1.0: the body ends with the connection.
get() { # port, path
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.0\r\nHost: demo\r\n\r\n' "$2" >&3
    sed '1,/^\r*$/d' <&3
    exec 3>&-
}

# The ffrtmp_ series of master and workers, without what always moves and without histogram buckets.
metrics() {
    local address
    for address in "$master_metrics" "$worker_metrics" "$((worker_metrics + 1))"; do get "$address" /metrics; done |
        grep '^ffrtmp_' | grep -v -e '_bucket{' -e 'uptime_seconds' | sort
}

free_port_base() { # how many in a row
    local base i
    for _ in $(seq 100); do
        base=$((20000 + RANDOM % 12000)) # below the range from which the kernel hands out ports
        for ((i = 0; i < $1; i++)); do
            (exec 3<>"/dev/tcp/127.0.0.1/$((base + i))") 2>/dev/null && continue 2
        done
        echo "$base" && return
    done
    die "found no free ports"
}

finish() {
    local status=$?
    trap - EXIT
    if [ -n "$supervisor" ] && kill -0 "$supervisor" 2>/dev/null; then
        kill -KILL "$supervisor" 2>/dev/null || true # its children die with it
        wait "$supervisor" 2>/dev/null || true
    fi
    if [ "$ok" != yes ]; then
        [ "$status" -ne 0 ] || status=1
        echo "demo: failed. The end of the cluster's log:" >&2
        tail -n 60 "$work/up.log" >&2 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the demo ---------------------------------------------------------------------------------------------------------

checkout_before=$(git status --porcelain 2>/dev/null || true)
started=$SECONDS

port=$(free_port_base 4)
master_metrics=$((port + 1)) worker_metrics=$((port + 2))
export FFRTMP_MASTER=http://127.0.0.1:$port
unset FFRTMP_TOKEN MASTER_API_KEY MASTER_URL
mkdir "$work/policies"
cp policies/balanced.wasm "$work/policies/"

step "1. A cluster: one master, two workers, the policy 'balanced' in its folder"
RUST_LOG=${RUST_LOG:-info} "$ffrtmp" up --data-dir "$work/data" --policies "$work/policies" --workers 2 --slots 2 --grace 5s \
    --listen "127.0.0.1:$port" --metrics-listen "127.0.0.1:$master_metrics" \
    --worker-metrics-listen "127.0.0.1:$worker_metrics" >"$work/ready" 2>"$work/up.log" &
supervisor=$!
for _ in $(seq 600); do
    [ -s "$work/ready" ] && break
    kill -0 "$supervisor" 2>/dev/null || die "ffrtmp up ended before it was ready"
    sleep 0.1
done
[ -s "$work/ready" ] || die "ffrtmp up was not ready within 60 s"
shown nodes list
metrics >"$work/metrics.before"

step "2. A real clip, transcoded by a worker that the policy picks"
shown jobs submit --input "$clip" --output "$work/out.mp4" --size 854x480 --codec h264 --audio aac --encoder-preset slow --follow

step "3. The output, verified with ffprobe"
probe() { # streams, entries
    ffprobe -v error -count_frames -select_streams "$1" -show_entries "$2" -of default=noprint_wrappers=1:nokey=1 "$work/out.mp4"
}
check "video codec" h264 "$(probe v:0 stream=codec_name)"
check "size" 854x480 "$(probe v:0 stream=width,height | paste -sd x)"
check "frames" 132 "$(probe v:0 stream=nb_read_frames)"
check "audio codec" aac "$(probe a:0 stream=codec_name)"
check "seconds" 5.280000 "$(probe v:0 stream=duration)"

step "4. Which policy placed it, and why"
"$ffrtmp" jobs status 1 --output json >"$work/job"
placed() { # of the job in $work/job
    echo "  job $(json id <"$work/job") on $(json node <"$work/job"), by $(json policy <"$work/job") $(json digest <"$work/job"):" \
        "$(json reason <"$work/job") (score $(json score <"$work/job"))"
}
placed
check "policy" balanced "$(json policy <"$work/job")"
[ "$(json digest <"$work/job")" != native ] || die "the built-in fallback placed the job, not the wasm policy"

step "5. Another policy, dropped in while the cluster runs"
echo "${faint}\$ cp policies/bundled/binpack.wasm \$DEMO/policies/$plain"
cp policies/bundled/binpack.wasm "$work/policies/"
for _ in $(seq 300); do
    "$ffrtmp" policies list --output jsonl | grep -q '"name":"binpack".*"state":"active"' && break
    sleep 0.1
done
shown policies list

step "6. The next jobs: binpack fills one worker where balanced would use both"
for name in demo-a demo-b; do
    "$ffrtmp" jobs submit --scenario "$name" --duration 5
done
"$ffrtmp" jobs wait 2 3
for id in 2 3; do
    "$ffrtmp" jobs status "$id" --output json >"$work/job"
    placed
    check "policy" binpack "$(json policy <"$work/job")"
done

step "7. The metrics that moved"
sleep 1.2 # the workers' own figures are sampled once a second
metrics >"$work/metrics.after"
awk '{ value = $NF; name = $0; sub(/ [^ ]+$/, "", name) }
     value ~ /\./ { value = sprintf("%.3f", value) }
     NR == FNR { before[name] = value; next }
     before[name] != value { printf "  %-72s %10s -> %s\n", name, (name in before) ? before[name] : "-", value; moved++ }
     END { exit !moved }' "$work/metrics.before" "$work/metrics.after" || die "no metric moved"

step "8. Everything ends"
kill -TERM "$supervisor"
status=0
wait "$supervisor" || status=$?
supervisor=
check "exit code" 0 "$status"
check "processes" none "$(processes | paste -sd ' ' | sed 's/^$/none/')"
check "checkout" unchanged "$([ "$(git status --porcelain 2>/dev/null || true)" = "$checkout_before" ] && echo unchanged)"

ok=yes
step "The demo took $((SECONDS - started)) s. Next: bin/ffrtmp up, then bin/ffrtmp jobs submit --help"
