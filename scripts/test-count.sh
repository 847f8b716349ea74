#!/usr/bin/env bash
# Adds up the `test result:` lines of the log of `cargo test` given as the first argument, for the end of a long run. What failed in
# it and passed in the second log, if there is one, has passed.
set -euo pipefail
again=0
if [[ -f ${2:-} ]]; then
  again=$(awk '/^test .* \.\.\. ok$/ { print $2 }' "$2" | sort -u | wc -l)
fi
awk -v again="$again" '
  /^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
  END { alone = again ? ", of these " again " only when run alone" : ""
        printf "tests: %d passed%s, %d failed, %d ignored, in %d suites\n", passed + again, alone, failed - again, ignored, suites
        exit !(suites > 0 && failed <= again) }' "$1"
