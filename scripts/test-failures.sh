#!/usr/bin/env bash
# Says again, after a long log of `cargo test` given as an argument, which tests failed and with what words: a line and the
# twenty after it for each panic.
set -euo pipefail
echo "---- what failed ----"
awk '/^---- .* stdout ----$/ { test = $2; left = 0 }
     / panicked at / && test != "" { print "\n" test; left = 20 }
     left > 0 { print substr($0, 1, 400); left-- }
     /^failures:$/ { test = "" }' "$1"
awk '/^test .* FAILED$/ { print }' "$1"
