"""scripts/reproduce.py: what it would run, and one quick section on an emulated cluster with its report."""
import subprocess
import sys

import harness
from clusters import cluster, why_not

SCRIPT = str(harness.REPOSITORY / "scripts/reproduce.py")


def reproduce(folder, *arguments):
    command = [sys.executable, SCRIPT, "--program", harness.PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)


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
    checks.that("no cluster" in cluster("counters").stderr, "the cluster is taken down")


harness.main(test)
