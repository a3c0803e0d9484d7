#!/usr/bin/env bash
# A cluster on one machine: hosts that are network namespaces, joined by a switch through links of limited rate.
set -euo pipefail

usage() {
  cat <<'END'
usage: scripts/emulate_cluster.sh COMMAND        (as root; nothing leaves this machine)

  up HOSTS RATE[,RATE...] [--slots N]   makes hosts sparrow0, sparrow1, ... with links of one rate, or of one rate for each host, in both
                                        directions: 100mbit, 2.5gbit, ..., or unlimited. --slots: ranks that mpirun puts on a host; default: 1
  run [mpirun] [-n RANKS] [OPTIONS OF MPIRUN] PROGRAM ...   one job across the hosts, started on sparrow0; default: a rank for every slot
  rate HOST RATE                        changes one link; HOST: a number or a name
  counters                              bytes that each host has sent and received since `up`, with the headers of TCP, IP and Ethernet
  down                                  ends what runs on the hosts and removes what `up` made, nothing else

The rates are emulated (token buckets at both ends of each link); latency, processors and memory are those of this machine, shared by all hosts:
train with --set system.threads=1, or every host takes all processors for itself.
After a pause the first 32 kB (256 kB above 1 Gbit/s) pass each of a path's two buckets at full speed.
END
}

state=/run/sparrow_cluster
self=$(readlink -f "${BASH_SOURCE[0]}")
network=10.77.0 # exists inside the namespaces alone

die() {
  echo "emulate_cluster.sh: $*" >&2
  exit 2
}

need_root() {
  ((EUID == 0)) || die "network namespaces need root: sudo $0 ..."
}

need_cluster() {
  need_root
  [[ -f $state/hosts ]] || die "no cluster is up (emulate_cluster.sh up HOSTS RATE)"
}

check_rate() {
  [[ $1 == unlimited || $1 =~ ^[0-9]{1,6}(\.[0-9]{1,3})?[kmg]bit$ && ! $1 =~ ^[0.]+[kmg]bit$ ]] ||
    die "rate '$1': expected a number with kbit, mbit or gbit, such as 100mbit, or unlimited"
}

# throttle NAMESPACE DEVICE RATE: limits what leaves through the device. A bucket must hold more than one segment that the kernel passes down
# whole (GSO), or each is cut into single frames, which is slow and overruns the receiver's backlog. Small buckets keep short messages honest; above
# 1 Gbit/s only large ones keep up. A queue holds 16 MB, as a data-centre switch does: in an all-to-all all hosts send to one port at times, and a lost
# frame costs TCP's least timeout, 200 ms, where the networks of real clusters lose none.
throttle() {
  local segment=16384 bucket=32kb
  if [[ $3 == unlimited ]]; then
    ip -n "$1" link set "$2" gso_max_size 65536
    tc -n "$1" qdisc replace dev "$2" root pfifo limit 1000
    return
  fi
  if [[ $3 =~ ^([2-9]|1\.[0-9]*[1-9]|[0-9]{2,})[0-9.]*gbit$ ]]; then
    segment=65536 bucket=256kb
  fi
  ip -n "$1" link set "$2" gso_max_size "$segment"
  tc -n "$1" qdisc replace dev "$2" root tbf rate "$3" burst "$bucket" limit 16mb
}

set_rate() { # HOST'S NUMBER, RATE
  throttle "sparrow$1" eth0 "$2"
  throttle sparrow_switch "port$1" "$2"
}

add_namespace() {
  ip netns add "$1" || die "cannot add the network namespace $1 (not permitted here, or there already)"
  echo "$1" >>"$state/namespaces"
}

# calm HOST: Reno, which every kernel has, fills a link without loss at once. Others (BBR) estimate its rate from flows much longer than the messages of
# a step, and left a third of it unused.
calm() {
  ip netns exec "$1" sh -c 'echo reno >/proc/sys/net/ipv4/tcp_congestion_control' ||
    echo "emulate_cluster.sh: $1 keeps the congestion control of this machine: $(cat /proc/sys/net/ipv4/tcp_congestion_control)" >&2
}

add_host() { # NUMBER, RATE, SLOTS
  local host=sparrow$1
  add_namespace "$host"
  ip -n "$host" link set lo up
  calm "$host"
  ip link add eth0 netns "$host" type veth peer name "port$1" netns sparrow_switch
  ip -n "$host" addr add "$network.$(($1 + 1))/24" dev eth0
  ip -n "$host" link set eth0 up
  ip -n sparrow_switch link set "port$1" master bridge up
  set_rate "$1" "$2"
  mkdir -p "/etc/netns/$host" # `ip netns exec` binds the files in it over those of /etc
  cp "$state/names" "/etc/netns/$host/hosts"
  echo "$host slots=$3" >>"$state/hosts.new"
}

up() {
  local count=${1-} rates=() slots=1 tool i
  [[ $count =~ ^[1-9][0-9]{0,2}$ ]] && ((count <= 200)) || die "up HOSTS RATE[,RATE...]: '$count' hosts, wanted are 1 to 200"
  IFS=, read -ra rates <<<"${2-},end" # `read` drops an empty last field
  unset 'rates[-1]'
  ((${#rates[@]} == 1 || ${#rates[@]} == count)) || die "${#rates[@]} rates for $count hosts: wanted are 1 or $count"
  for i in "${rates[@]}"; do check_rate "$i"; done
  if (($# > 2)); then
    [[ $# == 4 && $3 == --slots && $4 =~ ^[1-9][0-9]{0,2}$ ]] || die "behind the rates only --slots N is known, not '${*:3}'"
    slots=$4
  fi
  need_root
  for tool in ip tc unshare hostname mpirun; do
    command -v "$tool" >/dev/null || die "'$tool' is not installed (packages: iproute2 util-linux hostname openmpi-bin)"
  done
  mkdir "$state" 2>/dev/null || die "a cluster is up already ($state); emulate_cluster.sh down removes it"
  trap 'code=$?; ((code == 0)) || down' EXIT

  add_namespace sparrow_switch
  ip -n sparrow_switch link add bridge type bridge
  ip -n sparrow_switch link set bridge up
  echo "127.0.0.1 localhost" >"$state/names"
  for ((i = 0; i < count; i++)); do echo "$network.$((i + 1)) sparrow$i" >>"$state/names"; done
  for ((i = 0; i < count; i++)); do add_host "$i" "${rates[i]:-${rates[0]}}" "$slots"; done
  mv "$state/hosts.new" "$state/hosts" # complete from here on
  echo "$count hosts are up: sparrow0 ... (rate ${rates[*]}, $slots slot(s) each)"
  ((count * slots < $(nproc))) || echo "They share $(nproc) processors, though each sees all of them: give ranks one thread (--set system.threads=1)."
}

down() {
  local name pid
  need_root
  [[ -d $state ]] || { echo "no cluster is up"; return; }
  touch "$state/namespaces"
  while read -r name; do
    for pid in $(ip netns pids "$name"); do kill "$pid" 2>/dev/null || true; done
  done <"$state/namespaces"
  while read -r name; do
    for ((i = 0; i < 20; i++)); do
      [[ -n $(ip netns pids "$name") ]] || break
      sleep 0.1
    done
    for pid in $(ip netns pids "$name"); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns del "$name"
    rm -f "/etc/netns/$name/hosts"
    rmdir "/etc/netns/$name" 2>/dev/null || true
  done <"$state/namespaces"
  rmdir /etc/netns 2>/dev/null || true
  rm -rf "$state"
}

rate() {
  local host=${1-}
  need_cluster
  host=sparrow${host#sparrow}
  grep -q "^$host slots=" "$state/hosts" || die "no host '${1-}' (sparrow0 to sparrow$(($(wc -l <"$state/hosts") - 1)))"
  check_rate "${2-}"
  set_rate "${host#sparrow}" "$2"
}

counters() {
  local host _
  need_cluster
  echo "host sent_bytes received_bytes"
  while read -r host _; do
    echo "$host $(ip netns exec "$host" cat /sys/class/net/eth0/statistics/tx_bytes /sys/class/net/eth0/statistics/rx_bytes | tr '\n' ' ')"
  done <"$state/hosts" | sed 's/ $//'
}

# agent HOST COMMAND LINE: runs a shell's command line on a host, as `ssh HOST COMMAND LINE` would; mpirun starts its daemons with it. Each host has a
# name of its own: ranks that see one name think that they share memory. `exec` all the way, so that a signal reaches the program itself.
agent() {
  local host=$1
  shift
  exec ip netns exec "$host" unshare --uts bash -c "hostname $host && $*"
}

run() {
  need_cluster
  [[ ${1-} != mpirun ]] || shift
  (($# > 0)) || die "run: which program? emulate_cluster.sh run -n 4 build/sparrow train CONFIG"
  exec {lock}<"$state/hosts"
  flock --nonblock "$lock" || die "another job is running on the cluster"
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  unset OMPI_MCA_rmaps_base_oversubscribe # set for ranks on one host; here a host has the ranks that its slots say
  local options=(
    --hostfile "$state/hosts" --bind-to none
    --mca plm rsh --mca plm_rsh_agent "$self agent"
    --mca pml ob1 --mca btl self,vader,tcp --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0
    --mca btl_vader_single_copy_mechanism none
    --mca btl_tcp_flags send    # the default protocol for long messages uses a link in one direction at a time
    --mca mpi_yield_when_idle 1 # each host thinks it has the processors for itself; ranks that wait must not starve the others
    # a link that is cut ends the job in ten seconds instead of eight minutes
    --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3
  )
  agent sparrow0 "exec $(printf '%q ' mpirun "${options[@]}" "$@")"
}

command=${1-}
(($# == 0)) || shift
case $command in
  up | down | run | rate | counters | agent) "$command" "$@" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
