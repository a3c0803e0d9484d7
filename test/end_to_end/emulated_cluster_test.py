"""scripts/emulate_cluster.sh: real jobs over hosts that are network namespaces; the bytes that the program counts are those on the links."""
import os
import subprocess

import harness
from clusters import cluster, why_not

HOSTS = 3


def namespaces():
    return {line.split()[0] for line in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.splitlines()}


def counters():
    lines = cluster("counters").stdout.splitlines()
    return {host: (int(sent), int(received)) for host, sent, received in map(str.split, lines[1:])}


def check_arguments(checks):
    for arguments, message in [
        (("up",), "hosts"),
        (("up", "0", "1gbit"), "hosts"),
        (("up", "2", ""), "rate"),
        (("up", "2", "fast"), "rate 'fast'"),
        (("up", "2", "0mbit"), "rate '0mbit'"),
        (("up", "3", "1gbit,1gbit"), "2 rates for 3 hosts"),
        (("up", "2", "1gbit,"), "rate ''"),
        (("up", "2", "1gbit", "--slots", "x"), "--slots"),
        (("what",), "usage"),
        ((), "usage"),
    ]:
        result = cluster(*arguments)
        checks.that(result.returncode == 2 and message in result.stderr, f"refused: emulate_cluster.sh {' '.join(arguments)}")


def check_hosts(checks):
    checks.equal(cluster("up", HOSTS, "1gbit,500mbit,unlimited").returncode, 0, "a cluster comes up")
    again = cluster("up", 2, "1gbit")
    checks.that(again.returncode == 2 and "up already" in again.stderr, "a second one is refused")
    names = cluster("run", "hostname").stdout.split()
    checks.equal(sorted(names), [f"sparrow{i}" for i in range(HOSTS)], "a rank on every host, each with a name of its own")
    checks.equal(len(cluster("run", "mpirun", "-n", 2, "hostname").stdout.split()), 2, "ranks of `run mpirun -n 2`")
    many = cluster("run", "-n", HOSTS + 1, "hostname")
    checks.that(many.returncode != 0 and "slots" in many.stdout + many.stderr, "more ranks than slots are refused")
    checks.equal(cluster("run", "-n", 2, "sh", "-c", "exit 7").returncode, 7, "exit code of the job")

    def qdisc(host):
        return subprocess.run(["tc", "-n", host, "qdisc", "show", "dev", "eth0"], capture_output=True, text=True).stdout

    checks.that("rate 500Mbit" in qdisc("sparrow1") and "tbf" not in qdisc("sparrow2"), "links have their rates")
    checks.equal(cluster("rate", 2, "20mbit").returncode, 0, "a rate is changed")
    checks.that("rate 20Mbit" in qdisc("sparrow2"), "and holds")
    checks.that(cluster("rate", 3, "20mbit").returncode == 2, "no link of a host that is not there")
    checks.equal(cluster("rate", "sparrow2", "1gbit").returncode, 0, "a host has a name, too")


def check_ledger(checks, folder):
    """Two runs that differ in their number of iterations alone: the difference of their bytes is that of the iterations."""
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(6144))
    config = {
        "data": {"train": [data], "max_rows": 20000},
        "model": {"embedding_dim": 32, "bottom": [32], "top": [32]},
        "train": {"global_batch": 1536},
        "system": {"threads": 1},
        "placement": {"strategy": "row_wise"},
        "output": {"checkpoint_every": -1},
    }
    sent, ledger = [], []
    for epochs in (1, 4):
        out = folder / f"epochs{epochs}"
        path = out.with_suffix(".yaml")
        path.write_text(str(config).replace("'", '"'))
        before = counters()
        job = cluster("run", "-n", HOSTS, harness.PROGRAM, "train", path, "--set", f"train.epochs={epochs}", "--set", f"output.dir={out}")
        if not checks.equal(job.returncode, 0, f"training over the links, {epochs} epoch(s)"):
            print(job.stderr)
            return
        after = counters()
        checks.that(f"on {HOSTS} nodes" in job.stderr, "the program sees as many nodes as hosts")
        sent.append(sum(after[host][0] - before[host][0] for host in after))
        run = harness.Run(0, "", "", out, False)
        ledger.append(run.summary["bytes_per_iteration"]["total"] * HOSTS * run.summary["steps"])
    # Headers: 66 bytes for each segment of up to 16 kB and each acknowledgement, 24 or so of Open MPI for each message; messages are tens of kB here.
    ratio = (sent[1] - sent[0]) / (ledger[1] - ledger[0])
    checks.at_most(abs(ratio - 1), 0.05, f"bytes on the links ({sent[1] - sent[0]}) against the ledger, relative difference")


def test(checks, folder):
    check_arguments(checks)
    if os.geteuid() != 0:
        result = cluster("up", 2, "1gbit")
        checks.that(result.returncode == 2 and "root" in result.stderr, "without root it says so")
    if reason := why_not():
        harness.skip(reason)
    other = "sparrow_test_other"
    subprocess.run(["ip", "netns", "add", other], check=True)
    before = namespaces()
    try:
        check_hosts(checks)
        check_ledger(checks, folder)
    finally:
        checks.equal(cluster("down").returncode, 0, "the cluster is taken down")
        checks.equal(namespaces(), before, "namespaces that are left: those of others")
        subprocess.run(["ip", "netns", "del", other], check=True)
    checks.that("no cluster" in cluster("run", "hostname").stderr, "no job without a cluster")


harness.main(test)
