#!/usr/bin/env bash
# Installs what is missing, builds everything, runs the tests. The last line says 'N passed, N failed' and, if any were, ', N skipped'.
#   scripts/test.sh [--preset release|debug|asan|tsan] [arguments of ctest, for example -R comm]
set -euo pipefail

preset=release
case ${1-} in
  -h | --help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;;
  --preset) (($# > 1)) || { echo "test.sh: --preset needs a name" >&2; exit 2; }; preset=$2; shift 2 ;;
  --preset=*) preset=${1#--preset=}; shift ;;
esac
case $preset in
  release) build=build ;;
  debug | asan | tsan) build=build-$preset ;;
  *) echo "test.sh: no preset '$preset' (release, debug, asan, tsan)" >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install_deps.sh
cmake --preset "$preset"
cmake --build "$build" --parallel "$(nproc)"

log=$PWD/$build/ctest.log
rm -f "$log"
code=0
ctest --test-dir "$build" --output-on-failure --no-tests=error --output-log "$log" --parallel "$(nproc)" "$@" || code=$?

# ctest ends with "P% tests passed, F tests failed out of T", where skipped tests count as passed and disabled ones not at all, and lists of the
# tests that were skipped or disabled.
awk '
  /^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+$/ { failed = $4; total = $NF; skipped = disabled = 0; found = 1 }
  /^[ \t]+[0-9]+ - .* \(Skipped\)$/ { ++skipped }
  /^[ \t]+[0-9]+ - .* \(Disabled\)$/ { ++disabled }
  END {
    if (!found) { print "test.sh: ctest ended without a summary" > "/dev/stderr"; exit 1 }
    printf "%d passed, %d failed", total - failed - skipped, failed
    if (skipped + disabled > 0) printf ", %d skipped", skipped + disabled
    printf "\n"
  }' "$log" || exit $((code > 0 ? code : 1))
exit "$code"
