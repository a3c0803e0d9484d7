#!/usr/bin/env python3
"""Bytes that runs send, by the level of the tree at which ways part, against what the cost model predicts: every strategy, deduplicated
and not, bags of one lookup and longer ones, on 2 nodes of 4 ranks and on 3 + 1 ranks. `--all` runs every combination (minutes)."""
import itertools
import sys

import harness
import recorded_runs

BATCH, BATCHES = 512, 60
SYSTEMS = {
    "2x4": (8, recorded_runs.HEAD + recorded_runs.NODE.format("node", 2) + recorded_runs.RANK.format("rank", "node", 4)),
    "3+1": recorded_runs.SYSTEMS["3+1"],
}
STRATEGIES = ["optimal", "held", "table_wise", "row_wise", "replicated", "hot_cold", "fetched"]
UNDEDUPLICATED = ["table_wise", "row_wise", "hot_cold", "fetched"]
BAGS = {"bags of one": [], "long bags": [1, 3, 10, 2] * 6 + [1, 20]}
SOME = [("2x4", "row_wise", False, "long bags"), ("2x4", "table_wise", True, "bags of one"), ("2x4", "held", True, "long bags"),
        ("3+1", "table_wise", False, "bags of one"), ("3+1", "optimal", True, "bags of one"), ("3+1", "hot_cold", False, "bags of one")]
# The other lookups of a long bag follow from its first one (data.bag_sizes), while the model takes them to be independent. It shows where the
# number of vectors depends on which lookups meet in a bag; test/placement/trace_test.cpp draws independent ones.
DEPENDENT = ["hot_cold", "fetched"]


def every():
    for system, strategy, deduplicate, bags in itertools.product(SYSTEMS, STRATEGIES, [True, False], BAGS):
        if deduplicate or (strategy in UNDEDUPLICATED and (bags == "bags of one" or strategy not in DEPENDENT)):
            yield system, strategy, deduplicate, bags


def compare(checks, data, folder, system, strategy, deduplicate, bags):
    ranks, topology = SYSTEMS[system]
    (folder / "system.yaml").write_text(topology)
    config = {
        "data": {"train": [str(data)], "max_rows": 2000, "count_samples": BATCH * BATCHES, "bag_sizes": BAGS[bags]},
        "model": {"embedding_dim": 8, "bottom": [8], "top": [8]},
        "train": {"global_batch": BATCH, "samples": BATCH * BATCHES},
        "system": {"backend": "host", "threads": 1, "topology": str(folder / "system.yaml"), "device_memory": "32MiB"},
        "placement": {"strategy": strategy, "deduplicate": deduplicate},
        "output": {"checkpoint_every": -1},
    }
    summary = harness.train(config, folder / "run", ranks).summary
    what = f"{system}, {strategy}, {'' if deduplicate else 'un'}deduplicated, {bags}"
    for level, (sent, expected) in enumerate(zip(summary["bytes_by_level"], summary["predicted"]["bytes_by_level"])):
        # Up to 2 %, and what the dense parameters' all-reduce cannot divide evenly.
        checks.at_most(abs(sent - expected), 0.02 * expected + 64, f"{what}: level {level}: {sent:.0f} bytes of {expected:.0f} predicted, off by")


def test(checks, folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(BATCH * BATCHES, values=3000))
    for i, case in enumerate(every() if "--all" in sys.argv else SOME):
        (folder / str(i)).mkdir()
        compare(checks, data, folder / str(i), *case)


if __name__ == "__main__":
    harness.main(test)
