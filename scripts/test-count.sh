#!/usr/bin/env bash
# Adds up the `test result:` lines of the log of `cargo test` given as an argument, for the end of a long run.
set -euo pipefail
awk '/^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
     END { printf "tests: %d passed, %d failed, %d ignored, in %d suites\n", passed, failed, ignored, suites
           exit !(suites > 0 && failed == 0) }' "$1"
