#!/usr/bin/env bash
# Runs the few tests that failed, by the log of `cargo test` given as the first argument, once more, each alone on the machine, with
# the log in the second. Hundreds of tests with real processes share few cores: one that fails beside the others and passes alone
# was late, not wrong, and is named so that somebody looks at it. Anything else than a few failed tests is not tried again.
set -euo pipefail
log=$1 again=$2
mapfile -t failed < <(awk '/^test .* \.\.\. FAILED$/ { print $2 }' "$log" | sort -u)
if grep -q 'signal: [0-9]' "$log" || ((${#failed[@]} == 0 || ${#failed[@]} > 5)); then
  exit 1
fi
echo "---- once more, alone: ${failed[*]} ----"
"${CARGO:-cargo}" test --workspace --release --locked --no-fail-fast -- --exact "${failed[@]}" --test-threads=1 2>&1 | tee "$again"
passed=$(awk '/^test .* \.\.\. ok$/ { print $2 }' "$again" | sort -u | wc -l)
((passed == ${#failed[@]})) || exit 1
echo "---- passed when run alone: ${failed[*]} ----"
