#!/usr/bin/env bash
# Installs what building and running Sparrow needs from the distribution's packages (Debian 12 or newer, Ubuntu 24.04).
# Prints what it installs; asks sudo when not root; does nothing when everything is there.
# Not installed, as only some tests want them: slurm-wlm munge (scripts/slurm), iproute2 (scripts/emulate_cluster.sh).
#   scripts/install_deps.sh [--cuda]     --cuda is not needed: the CUDA Toolkit and NCCL are used when they are found
set -euo pipefail

packages=(
  build-essential cmake ninja-build pkg-config git clang-format   # build
  libopenmpi-dev openmpi-bin                                      # MPI
  libcxxopts-dev libspdlog-dev libfmt-dev libyaml-cpp-dev         # command line, log, configuration
  nlohmann-json3-dev                                              # metrics, plans, checkpoint headers
  libdnnl-dev ocl-icd-opencl-dev libisal-dev                      # GEMM on the host (its CMake file asks for OpenCL), gzip
  liburing-dev                                                    # offloaded rows: many disk requests at once
  libhwloc-dev                                                    # which processors are beside a GPU
  catch2 libbenchmark-dev                                         # tests, benchmarks
  python3 python3-numpy python3-yaml python3-matplotlib           # end-to-end tests, sweeps, plots
  python3-scipy                                                   # HiGHS, which the planner is compared with
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [[ $status == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "install_deps.sh: no apt-get here; install the equivalents of: ${missing[*]}" >&2
  exit 1
fi
sudo=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "install_deps.sh: need root or sudo to install: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
echo "Installing from the distribution's packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
