"""scripts/reproduce.py: what it would run, and one quick section on an emulated cluster with its report."""
import re
import subprocess
import sys

import harness
from clusters import cluster, why_not

SCRIPT = str(harness.REPOSITORY / "scripts/reproduce.py")


def reproduce(folder, *arguments):
    command = [sys.executable, SCRIPT, "--program", harness.PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)


def check_overlap(checks, folder, data):
    """A pair of runs, sequential and overlapped, becomes a line of the report."""
    small = ("--set", "train.samples=49152", "--set", "data.generate.samples=98304")  # the data that are there
    result = reproduce(folder, "--quick", "--only", "overlap", "--out", "overlap", *data, *small)
    if not checks.equal(result.returncode, 0, "exit code of the pair"):
        print(result.stdout, result.stderr)
        return
    lines = (folder / "overlap/report.md").read_text().splitlines()
    names = ["rate", "sized_for", "compute", "exchange", "sequential", "sequential, predicted", "overlapped", "overlapped, predicted", "speed-up"]
    head = next(line for line in lines if line.lstrip().startswith("rate "))
    checks.equal([name.strip() for name in re.split("  +", head.strip())][: len(names)], names, "columns of the report")
    values = dict(zip(names, next(line for line in lines if line.strip().startswith("300mbit ")).split()))
    ratio = float(values["sequential"]) / float(values["overlapped"])
    checks.at_most(abs(float(values["speed-up"]) / ratio - 1), 0.01, "speed-up, against the ratio of the times")


def test(checks, folder):
    if subprocess.run([sys.executable, "-c", "import yaml, matplotlib"], stderr=subprocess.DEVNULL).returncode != 0:
        harness.skip("no python3-yaml or python3-matplotlib here")
    dry = reproduce(folder, "--dry-run")
    checks.that(dry.returncode == 0 and not any(folder.iterdir()), "--dry-run leaves nothing")
    checks.at_least(dry.stdout.count("emulate_cluster.sh run"), 100, "runs in all")
    if reason := why_not():
        harness.skip(reason)
    data = ("--set", f"data.generate.out={folder}/data", "--set", f"data.train=[{folder}/data/*_dense.npy]")
    result = reproduce(folder, "--quick", "--only", "links", *data)
    if not checks.equal(result.returncode, 0, "exit code of one quick section"):
        print(result.stdout, result.stderr)
        return
    report = (folder / "runs/reproduce/report.md").read_text()
    checks.that("**Measured**" in report and "**Emulated**" in report, "the report says what is measured and what is emulated")
    checks.equal(len((folder / "runs/reproduce/links/results.csv").read_text().splitlines()), 1 + 2, "lines of its results.csv")
    line = next(line for line in report.splitlines() if "row_wise" in line and "1gbit" in line)
    checks.at_most(abs(float(line.split()[-1]) - 1), 0.05, "links against ledger, relative difference")  # as in emulated_cluster_test
    check_overlap(checks, folder, data)
    checks.that("no cluster" in cluster("counters").stderr, "the cluster is taken down")


harness.main(test)
