"""Memory of every rank stays flat over a run: what is resident is sampled while it trains; the second half of the run
needs no more than the first. Several epochs, with evaluations and checkpoints in between."""
import os
import pathlib
import time

import harness

RANKS = 2
CONFIG = {
    "data": {"max_rows": 20000, "eval_tail": 2000},
    "model": {"embedding_dim": 16, "bottom": [64], "top": [64]},
    "train": {"global_batch": 500, "epochs": 100, "eval_every": 18000},
    "system": {"backend": "host", "threads": 1},
    "output": {"report_every": 10, "checkpoint_every": 54000},
}


def ranks_of(launcher):
    """Process ids of the program's ranks below mpirun."""
    program = os.path.realpath(harness.PROGRAM)
    parents, found = {}, []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if os.path.realpath(entry / "exe") == program:
                    found.append(int(entry.name))
            except OSError:
                continue

    def below(process):
        while process in parents:
            if process == launcher:
                return True
            process = parents[process]
        return False

    return [process for process in found if below(process)]


def private_bytes(process):
    """Resident memory that belongs to this process alone: mapped files (the data) come and go as the system likes."""
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError(process)


def test(checks, folder):
    if not pathlib.Path("/proc/self/status").exists():
        harness.skip("there is no /proc to read the memory of processes from")
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(20000))
    config = harness.merge(CONFIG, {"data": {"train": [data]}})
    started = harness.start(config, folder / "run", RANKS)
    metrics = folder / "run/metrics.jsonl"
    samples = {}  # by process: [(steps done, bytes)]
    while started.process.poll() is None:
        time.sleep(0.05)
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        for rank in ranks_of(started.process.pid) if lines else []:
            try:
                samples.setdefault(rank, []).append((len(lines), private_bytes(rank)))
            except OSError:
                pass  # it has ended
    run = started.finish(60)
    checks.equal(run.code, 0, "exit code")
    steps = run.summary["steps"]
    checks.equal(steps, 100 * 36, "steps")
    checks.equal(len(samples), RANKS, "ranks watched")
    for rank, seen in sorted(samples.items()):
        end = seen[-1][0]
        first = [b for records, b in seen if end * 0.15 <= records < end * 0.5]
        second = [b for records, b in seen if records >= end * 0.5]
        checks.at_least(min(len(first), len(second)), 5, "samples taken in each half")
        # What a step leaks would be there 1800 times: the limit is 1.1 kB a step, where a step's part of a batch alone
        # takes 80 kB. Below it lies what the heap's fragments do by themselves (up to 0.8 MB, ever more slowly).
        growth = max(second) - max(first)
        checks.at_most(growth / 1e6, 2, f"growth in MB from the first half's most ({max(first) / 1e6:.1f} MB)")
    peak = run.summary["peak_memory_bytes"]
    checks.at_least(peak / 1e6, max(b for s in samples.values() for _, b in s) / 1e6, "peak in the summary, MB")


harness.main(test)
