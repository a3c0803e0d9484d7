"""The configurations of configs/ are whole: every key is accepted, and quickstart.yaml, on a fifth of its samples, learns
what its generator put there."""
import subprocess

import harness


def check_accepted(checks, config, folder):
    """With data that are not there, the missing data are all that is wrong."""
    absent = folder / "absent.tsv"
    data = ("--set", f"data.train=[{absent}]", "--set", "data.eval=[]")
    run = harness.run(config, folder / config.stem, 1, data, timeout=60)
    checks.that(run.code != 0 and str(absent) in run.errors, f"{config.name} is accepted")
    if str(absent) not in run.errors:
        print(run.errors)


def check_quickstart(checks, folder):
    config = harness.REPOSITORY / "configs/quickstart.yaml"
    samples = 200000
    shards = folder / "shards"
    smaller = ("--set", f"data.generate.out={shards}", "--set", f"data.generate.samples={samples}")
    subprocess.run([harness.PROGRAM, "generate", "--config", config, *smaller], check=True, timeout=120)
    data = ("--set", f"data.train=[{shards}/day_*.tsv]", "--set", "data.eval_tail=20000", "--set", "train.eval_every=0")
    run = harness.train(config, folder / "run", 2, smaller + data, timeout=200)
    checks.equal(run.summary["samples"], samples - 20000, "samples trained on")
    # A million samples give 0.785; its ceiling is about 0.79.
    checks.at_least(run.auc, 0.74, "AUC of held-out samples after a fifth of quickstart.yaml's samples")
    checks.that("AUC" in run.output and str(folder / "run") in run.output, "the closing table says the AUC and where results lie")
    keys = {"samples", "seconds", "samples_per_second", "train_loss", "eval", "ranks", "backend", "bytes_per_iteration",
            "distinct_rows_per_iteration", "seconds_per_iteration", "seconds_by_phase", "peak_memory_bytes", "version"}
    checks.equal(keys - run.summary.keys(), set(), "keys missing in summary.json")
    parts = run.summary["bytes_per_iteration"]
    whole = sum(parts[name] for name in ("ids", "rows", "gradients", "samples", "allreduce"))
    checks.at_most(abs(parts["total"] - whole) / whole, 1e-9, "bytes of the phases add up to the total, relative difference")
    checks.that((folder / "run/config.yaml").exists(), "the effective configuration is written")


def test(checks, folder):
    for config in sorted((harness.REPOSITORY / "configs").glob("*.yaml")):
        check_accepted(checks, config, folder)
    check_quickstart(checks, folder)


harness.main(test)
