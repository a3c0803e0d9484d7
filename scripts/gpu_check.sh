#!/usr/bin/env bash
# Checks and times the CUDA backend on the GPUs of this machine, and writes a report (report.md, report.json):
#   1. the tests of every operation, of the module, of NCCL's communicator and of the trainer (offloaded rows, the overlapped step, rows
#      that move), the same that run on the emulator elsewhere;
#   2. training on the GPU against the host backend, on 1, 2 and 4 ranks as far as there are GPUs;
#   3. every kernel's time beside its roofline and, for the products, cuBLAS.
#   scripts/gpu_check.sh [FOLDER of the report [BUILD directory]]      defaults: results/gpu_check, build (made where there is none)
# Exit code: 0 all holds, 1 something does not, 77 there is no GPU here (said before anything is built).
set -uo pipefail

case ${1-} in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

no_gpu() {
  echo "gpu_check.sh: there is no GPU here ($1); on a machine without one the same tests run emulated: ctest -R cuda" >&2
  exit 77
}
# /dev/dxg: the driver under Windows. With a device present, the CUDA runtime has the last word (cuda_bench --devices below).
[[ -n $(compgen -G '/dev/nvidia[0-9]*') || -e /dev/dxg ]] || no_gpu "no device of NVIDIA's driver in /dev"

build=${2:-$root/build}
if [[ ! -f $build/CMakeCache.txt ]]; then
  if (($# > 1)); then
    echo "gpu_check.sh: $build is not a build directory" >&2
    exit 1
  fi
  (cd "$root" && cmake --preset release) || exit 1
fi
targets=(sparrow kernels_cuda_test cuda_bench)
if ! cmake --build "$build" --target "${targets[@]}" --parallel "$(nproc)"; then
  echo "gpu_check.sh: the CUDA backend does not build here (is the CUDA Toolkit installed? SPARROW_CUDA=ON says what is missing)" >&2
  exit 1
fi
out=$(mkdir -p "${1:-$root/results/gpu_check}" && cd "${1:-$root/results/gpu_check}" && pwd) || exit 1

"$build/test/cuda_bench" --devices >"$out/devices.txt"
code=$?
cat "$out/devices.txt"
((code != 77)) || no_gpu "the CUDA runtime finds none"
((code == 0)) || exit 1
gpus=$(grep -c . "$out/devices.txt")

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
failed=0
results=()

# check NAME COMMAND...: runs it, keeps its output beside the report, notes how it ended.
check() {
  local name=$1 code=0
  shift
  echo "== $name"
  "$@" >"$out/$name.log" 2>&1 || code=$?
  case $code in
    0) results+=("$name:passed") ;;
    77) results+=("$name:skipped") ;;
    *) results+=("$name:failed"); failed=1; tail -n 20 "$out/$name.log" ;;
  esac
}

check operations "$build/test/kernels_cuda_test"
if cmake --build "$build" --target cuda_nccl_comm_test cuda_trainer_test --parallel "$(nproc)" >"$out/nccl_build.log" 2>&1; then
  for ((ranks = 1; ranks <= gpus && ranks <= 4; ranks *= 2)); do
    check "nccl_$ranks" mpirun -n "$ranks" "$build/test/cuda_nccl_comm_test"
    check "trainer_$ranks" mpirun -n "$ranks" "$build/test/cuda_trainer_test"
  done
else
  echo "== nccl, trainer: not built here (without NCCL the backend works on one rank only; see $out/nccl_build.log)"
  results+=("nccl:skipped" "trainer:skipped")
fi
if python3 -c 'import numpy' 2>/dev/null; then
  check training env SPARROW_PROGRAM="$build/sparrow" SPARROW_GPUS="$gpus" python3 "$root/test/end_to_end/cuda_training_test.py"
else
  echo "== training: python3 has no NumPy"
  results+=("training:skipped")
fi
check kernels "$build/test/cuda_bench" --markdown "$out/kernels.md" --json "$out/kernels.json"

{
  echo "# CUDA backend on $(hostname), $(date -u +%Y-%m-%dT%H:%MZ)"
  echo
  sed 's/^/- /' "$out/devices.txt"
  echo
  echo "| check | result |"
  echo "|---|---|"
  for result in "${results[@]}"; do echo "| ${result%%:*} | ${result##*:} |"; done
  echo
  cat "$out/kernels.md" 2>/dev/null
} >"$out/report.md"
{
  printf '{"checks": {'
  separator=
  for result in "${results[@]}"; do
    printf '%s"%s": "%s"' "$separator" "${result%%:*}" "${result##*:}"
    separator=", "
  done
  printf '}, "kernels": '
  if [[ -s $out/kernels.json ]]; then cat "$out/kernels.json"; else echo null; fi
  printf '}\n'
} >"$out/report.json"
echo "report: $out/report.md"
exit "$failed"
