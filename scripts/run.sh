#!/usr/bin/env bash
# Trains a model with one command: installs what is missing, builds, makes the data that the configuration names, trains.
set -euo pipefail

usage() {
  cat <<'END'
usage: scripts/run.sh [CONFIG] [-n RANKS] [--set KEY=VALUE ...] [-- ARGUMENTS]

  CONFIG           a configuration; default: configs/quickstart.yaml of this repository
  -n RANKS         MPI ranks on this machine; default: 2
  --set KEY=VALUE  overrides a key, for example --set train.epochs=2 or --set 'data.train=[day_0.gz, day_1.gz]'
  -- ARGUMENTS     more arguments for `sparrow train` (build/sparrow train --help lists them)

Files that the configuration names are looked for from the current folder. The exit code is that of the training.
Variables of Open MPI (OMPI_MCA_...) that are set go before what this script chooses.
END
}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
config=
ranks=2
settings=()
more=()
while (($# > 0)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    -n) (($# > 1)) || die "-n needs a number of ranks"; ranks=$2; shift 2 ;;
    --set) (($# > 1)) || die "--set needs KEY=VALUE"; settings+=(--set "$2"); shift 2 ;;
    --set=*) settings+=(--set "${1#--set=}"); shift ;;
    --) shift; more=("$@"); break ;;
    -*) die "unknown option '$1' (--help lists them; arguments of the training go behind --)" ;;
    *) [[ -z $config ]] || die "two configurations: '$config' and '$1'"; config=$1; shift ;;
  esac
done
[[ $ranks =~ ^[1-9][0-9]{0,3}$ ]] || die "-n $ranks: expected a number of ranks from 1 to 9999"
config=${config:-$root/configs/quickstart.yaml}
[[ -f $config ]] || die "no configuration '$config'"

# Runs a step quietly; shows all of its output when it fails.
step() {
  local name=$1 log code=0
  shift
  echo "$name"
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || code=$?
  ((code == 0)) || cat "$log" >&2
  rm -f "$log"
  return "$code"
}

configure() { cd "$root" && cmake --preset release; }

"$root/scripts/install_deps.sh"
step "Configuring $root/build (Release)" configure
step "Building" cmake --build "$root/build" --target sparrow --parallel "$(nproc)"
sparrow=$root/build/sparrow
"$sparrow" generate --config "$config" "${settings[@]}"

# Several ranks share this machine: no binding (each has several threads), and as many as requested. Ranks without two cores of their own yield the
# core when they wait. Copies through shared memory work everywhere, direct ones between processes are forbidden in many containers.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe:-1}
export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-none}
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
if ((2 * ranks > $(nproc))); then
  export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
fi
echo "Training $config on $ranks rank(s)"
exec mpirun -n "$ranks" "$sparrow" train "$config" "${settings[@]}" "${more[@]}"
