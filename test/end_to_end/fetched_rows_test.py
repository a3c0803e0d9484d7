"""Tables of three times the memory budget train from disk: to the losses of rows in memory, within the budget; a disk that
is full, or a folder that cannot be made, is a clear error, and what was saved before is still there."""
import subprocess

import harness

DIM, MAX_ROWS = 64, 40000
ROW_BYTES = 4 * (DIM + 1)
TABLE_BYTES = harness.TABLES * MAX_ROWS * ROW_BYTES  # 270 MB
BUDGET = TABLE_BYTES // 3
CONFIG = {
    "data": {"max_rows": MAX_ROWS, "eval_tail": 1000},
    "model": {"embedding_dim": DIM, "bottom": [32], "top": [32]},
    "train": {"global_batch": 500, "samples": 4000},
    "system": {"backend": "host", "threads": 1, "pipeline": "sequential"},
    "output": {"report_every": 1, "checkpoint_every": -1},
}


def losses(run):
    return list(run.losses.values())


def train(config, folder, ranks=1, **more):
    return harness.run(harness.merge(config, more), folder, ranks)


def test(checks, folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(9000))
    config = harness.merge(CONFIG, {"data": {"train": [data]}})
    limited = {"device_memory": BUDGET, "scratch": str(folder / "scratch")}

    small = train(config, folder / "small", data={"max_rows": 100})
    held = train(config, folder / "held")
    fetched = train(config, folder / "fetched", system=limited, placement={"strategy": "fetched"})
    optimal = train(config, folder / "optimal", system=limited)
    for run, name in ((small, "small"), (held, "held"), (fetched, "fetched"), (optimal, "optimal")):
        if not checks.equal(run.code, 0, f"exit code, {name}"):
            print(run.errors)
            return
    checks.equal(losses(fetched), losses(held), "losses of rows on disk and in memory, to the bit")
    worst = max(abs(a - b) for a, b in zip(losses(optimal), losses(held)))
    checks.at_most(worst, 1e-5, "difference of losses, planned for the budget")

    # Above a run with tiny tables: rows in memory, buffers of fetched rows, the two maps between ids and positions (4
    # bytes a row and way), and what the heap keeps.
    slack = 2 * 4 * harness.TABLES * MAX_ROWS + 48e6
    for run, name in ((fetched, "fetched"), (optimal, "optimal")):
        grown = run.summary["peak_memory_bytes"] - small.summary["peak_memory_bytes"]
        checks.at_most(run.summary["row_memory_bytes"], BUDGET, f"row memory, {name}")
        checks.at_most(grown, run.summary["row_memory_bytes"] + run.summary["fetched_buffer_bytes"] + slack, f"memory, {name}")
    grown = held.summary["peak_memory_bytes"] - small.summary["peak_memory_bytes"]
    checks.at_least(grown, 0.7 * TABLE_BYTES, "memory when everything is held")  # measuring rates takes some in any run

    # The ledger: what was read and written is what the theory expects of counted rows. It draws samples with
    # replacement; here each of the few that were counted comes once, which touches more of the rare rows.
    for moved in ("read", "written"):
        counted = fetched.summary["store_bytes_per_iteration"][moved]
        expected = fetched.summary["predicted"]["store_bytes_per_iteration"][moved]
        checks.at_most(abs(counted / expected - 1), 0.15, f"bytes {moved}, against the prediction")

    several = train(config, folder / "several", ranks=3, system=limited, placement={"strategy": "fetched"})
    checks.equal(several.code, 0, "exit code, 3 ranks")
    worst = max(abs(a - b) for a, b in zip(losses(several)[:3], losses(held)[:3]))
    checks.at_most(worst, 1e-5, "difference of the first losses, 3 ranks")
    checks.equal(list((folder / "scratch").iterdir()), [], "files left in the scratch folder")

    broken_disks(checks, folder, config, limited)


def broken_disks(checks, folder, config, limited):
    """Saves, and goes on with a scratch folder that cannot hold the rows."""
    saving = harness.merge(config, {"output": {"checkpoint_every": 0}, "placement": {"strategy": "fetched"}})
    first = train(saving, folder / "saved", system=limited)
    checks.equal(first.code, 0, "exit code, saving")
    before = sorted(str(path) for path in (folder / "saved/checkpoints").rglob("*"))
    checks.at_least(len(before), 26, "files of the checkpoint")

    (folder / "file").write_text("x")
    no_folder = train(saving, folder / "saved", ranks=2, system={**limited, "scratch": str(folder / "file/sub")}, train={"samples": 6000})
    checks.that(no_folder.code != 0, "a scratch folder that cannot be made ends the run")
    checks.that("file/sub" in no_folder.errors, "and is named")

    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True).returncode == 0
    if mounted:
        try:
            full = train(saving, folder / "saved", ranks=2, system={**limited, "scratch": str(disk)}, train={"samples": 6000})
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
        checks.that(full.code != 0, "a full disk ends the run")
        checks.that("bytes" in full.errors and ("need" in full.errors), "and says what is needed: " + full.errors.strip()[:200])
    else:
        print("not checked: a small file system cannot be mounted here")
    checks.equal(sorted(str(path) for path in (folder / "saved/checkpoints").rglob("*")), before, "the checkpoint is untouched")
    again = train(saving, folder / "saved", system=limited, train={"samples": 6000})
    checks.equal(again.code, 0, "exit code, going on")
    checks.equal(again.summary["samples"], 2000, "samples trained after the checkpoint")


harness.main(test)
