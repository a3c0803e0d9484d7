"""SIGUSR1, which batch systems send ahead of a time limit and mpirun passes on, ends a run at once with a checkpoint and
without a summary; the same command goes on from there."""
import signal
import time

import harness

RANKS = 2
SAMPLES, BATCH = 1024, 64
CONFIG = {
    "data": {"max_rows": 300},
    "model": {"embedding_dim": 4, "bottom": [8], "top": [8]},
    "train": {"global_batch": BATCH, "epochs": 1000000},  # far beyond the test's time
    "placement": {"strategy": "held"},
    "system": {"backend": "host", "threads": 1, "timeout": 20},
    "output": {"report_every": 5},
}


def wait_for_records(directory, count, seconds=60):
    end = time.monotonic() + seconds
    path = directory / "metrics.jsonl"
    while time.monotonic() < end:
        if path.exists() and path.read_text().count("\n") >= count:
            return True
        time.sleep(0.05)
    return False


def test(checks, folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(SAMPLES))
    config = harness.merge(CONFIG, {"data": {"train": [data]}})
    directory = folder / "run"
    started = harness.start(config, directory, RANKS)
    checks.that(wait_for_records(directory, 3), "the run is under way")
    started.process.send_signal(signal.SIGUSR1)
    run = started.finish(60)
    checks.equal((run.code, run.timed_out), (0, False), "exit code after SIGUSR1, and whether it hung")
    checks.that("stopped on request" in run.errors + run.output, "it says that it was stopped")
    checks.that(not (directory / "summary.json").exists(), "there is no summary: the run is not done")
    if not checks.that(run.checkpoint is not None, "there is a checkpoint"):
        print(run.errors)
        return
    done = int(run.checkpoint.name.removeprefix("samples_"))
    checks.equal(max(run.losses) * BATCH, done, "samples in it, by the last record")

    passes = done // SAMPLES + 1
    rest = harness.run(harness.merge(config, {"train": {"epochs": passes}}), directory, RANKS)
    checks.equal(rest.code, 0, "the run goes on")
    checks.equal(rest.summary["samples"], passes * SAMPLES - done, "samples that were left")
    whole = harness.run(harness.merge(config, {"train": {"epochs": passes}}), folder / "whole", RANKS)
    checks.equal(rest.losses[max(rest.losses)], whole.losses[max(whole.losses)], "the last loss is that of a run in one go")


harness.main(test)
