#!/usr/bin/env bash
# Checks that every C++ and CUDA source is formatted as .clang-format says; exits 1 and names the places that are not, 77 where it cannot tell.
#   scripts/check_format.sh [--fix]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=14  # others format a few constructs differently
format=$(command -v clang-format-$version || command -v clang-format || true)
if [[ -z $format ]] || ! "$format" --version | grep -q "version $version\."; then
  echo "skipped: clang-format $version is not here"
  exit 77
fi
mode=(--dry-run --Werror)
[[ ${1-} == --fix ]] && mode=(-i)
find apps lib kernels test -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh' | xargs "$format" "${mode[@]}"
