#!/usr/bin/env python3
"""Bytes that runs send when samples go to their rows: how many times fewer than table-wise sharding without deduplication, what the busiest rank sends,
and what the plan predicted. One pass over real rows (left out where there are none, see harness.py) and over generated ones.

    assignment_bytes_test.py                    4 ranks, rows of 16 values, some generated rows
    assignment_bytes_test.py --all [--markdown] every case: 8 ranks, rows of 128 values, 4 M generated samples on 16 ranks (an hour on two cores)
"""
import subprocess
import sys

import harness

# Rows of a table: some five times the different categories of the sample, so that few of them share a row.
REAL_ROWS = [3000, 3000, 300000, 300000, 3000, 3000, 30000, 3000, 3000, 300000, 30000, 300000, 30000, 3000, 30000, 300000, 3000, 30000, 3000, 3000,
             300000, 3000, 3000, 300000, 3000, 300000]
# Those of the whole Kaggle data, at most a million.
KAGGLE_ROWS = [1460, 583, 1000000, 1000000, 305, 24, 12517, 633, 3, 93145, 5683, 1000000, 3194, 27, 14992, 1000000, 10, 5652, 2173, 4, 1000000, 18, 15,
               286181, 105, 142572]
TOPOLOGY = """name: hosts
links: {{network: {{bandwidth: {rate}, latency: 50us, overhead: 10us}}}}
stores: {{memory: {{capacity: 16GB}}}}
domains:
  - {{name: system}}
  - {{name: host, parent: system, count: {ranks}, links: [network], stores: [memory], flops: 50Gflop/s,
     work: {{hash: 30M/s, gather: 2GB/s, pack: 2GB/s, update: 1GB/s}}}}
"""
CONFIG = {
    "data": {"count_samples": 200000},
    "model": {"bottom": [64], "top": [64]},
    "system": {"backend": "host", "threads": 1, "pipeline": "sequential"},
    "output": {"checkpoint_every": -1, "resume": "never", "report_every": 1000},
}
USUAL = {"strategy": "table_wise", "deduplicate": False}
WAYS = {
    "contiguous": {"strategy": "optimal", "holders": "arithmetic", "assignment": "contiguous"},
    "first use, contiguous": {"strategy": "held", "holders": "first_use", "assignment": "contiguous"},
    "arithmetic, local": {"strategy": "held", "holders": "arithmetic", "assignment": "local"},
    "first use, local, held": {"strategy": "held", "holders": "first_use", "assignment": "local"},
    "first use, local": {"strategy": "optimal", "holders": "first_use", "assignment": "local"},
    "auto": {"strategy": "optimal", "holders": "auto", "assignment": "auto"},
}
NEW = "first use, local"
# ranks, samples of a rank, values of a row, rows: at least so many times fewer bytes of rows and gradients, and of all but the dense all-reduce.
REAL = [(4, 2048, 16, None, 6.5), (4, 2048, 128, 11, 10), (8, 1024, 16, None, 5.5), (8, 1024, 128, 9, 8)]
GENERATED = (16, 2048, 128, 9, None)
MOVED = ("rows", "gradients")
SENT = ("ids", "rows", "gradients", "samples")
MARKDOWN = []


def moved(summary, phases):
    return sum(summary["bytes_per_iteration"][phase] for phase in phases)


def train(data, rows, ranks, part, dim, placement, folder, samples=0, rate="100Mbit/s"):
    topology = folder / f"hosts_{ranks}.yaml"
    topology.write_text(TOPOLOGY.format(ranks=ranks, rate=rate))
    config = harness.merge(CONFIG, {
        "data": {"train": data, "max_rows": rows}, "model": {"embedding_dim": dim}, "placement": placement,
        "train": {"global_batch": ranks * part, "samples": samples}, "system": {"topology": str(topology)},
    })  # fmt: skip
    name = f"{ranks}x{part}_{dim}_" + "_".join(map(str, placement.values()))
    return harness.train(config, folder / name, ranks, timeout=7200).summary


def check_way(checks, what, summary, usual, few, few_in_all):
    """few, few_in_all: None where nothing is asked."""
    fewer = moved(usual, MOVED) / moved(summary, MOVED)
    in_all = moved(usual, SENT) / moved(summary, SENT)
    sent = summary["bytes_per_iteration"]
    busiest = {phase: sent["max"][phase] / sent[phase] for phase in MOVED}
    off = {phase: summary["predicted"]["bytes_per_iteration"][phase] / sent[phase] - 1 if sent[phase] else 0.0 for phase in (*SENT, "total")}
    if few is not None:
        checks.at_least(fewer, few, f"{what}: times fewer bytes of rows and gradients")
    if few_in_all is not None:
        checks.at_least(in_all, few_in_all, f"{what}: times fewer bytes in all")
    if few is not None or few_in_all is not None:
        for phase, ratio in busiest.items():
            checks.at_most(ratio, 1.1, f"{what}: {phase} of the busiest rank, against the mean")
        checks.at_most(abs(off["total"]), 0.05, f"{what}: bytes, predicted {summary['predicted']['bytes_per_iteration']['total']:.0f} and counted "
                                                f"{sent['total']:.0f}, relative difference")
    parts = " ".join(f"{phase} {sent[phase] / 1e3:.0f} ({off[phase]:+.0%})" for phase in (*SENT, "allreduce") if phase in sent and phase != "allreduce")
    print(f"       {what}: {fewer:.2f} times fewer rows and gradients, {in_all:.2f} in all; kB of a rank and iteration (predicted): {parts}; "
          f"busiest: rows {busiest['rows']:.3f}, gradients {busiest['gradients']:.3f}, all {sent['max']['total'] / sent['total']:.3f}", flush=True)
    MARKDOWN.append([what, f"{fewer:.2f}", f"{in_all:.2f}", *(f"{sent[phase] / 1e3:,.0f}" for phase in SENT), f"{busiest['rows']:.2f}",
                     f"{busiest['gradients']:.2f}", f"{off['total']:+.1%}"])


def compare(checks, name, data, rows, case, ways, folder, samples=0, usual_samples=0):
    ranks, part, dim, few, few_in_all = case
    folder.mkdir(parents=True, exist_ok=True)
    usual = train(data, rows, ranks, part, dim, USUAL, folder, usual_samples or samples)
    for way in ways:
        summary = train(data, rows, ranks, part, dim, WAYS[way], folder, samples)
        asked = (few, few_in_all) if way == NEW else (None, None)
        check_way(checks, f"{name}, {ranks} x {part:,}, rows of {dim}: {way}", summary, usual, *asked)
    return usual


def generate(folder, samples):
    subprocess.run([harness.PROGRAM, "generate", "--like", "kaggle", "--samples", str(samples), "--out", str(folder), "--format", "npy", "--threads", "2"],
                   check=True, stdout=subprocess.DEVNULL, timeout=1800)  # fmt: skip
    return [str(folder / "*_dense.npy")]


def test(checks, folder):
    whole = "--all" in sys.argv
    for case in (REAL if whole else REAL[:1]) if harness.has_real_rows() else []:
        data = [str(harness.real_rows())]
        if "--dim" not in sys.argv or int(sys.argv[sys.argv.index("--dim") + 1]) == case[2]:
            compare(checks, "real rows", data, REAL_ROWS, case, WAYS if whole else [NEW], folder / "real")
    batch = GENERATED[0] * GENERATED[1]
    if whole:
        compare(checks, "generated rows", generate(folder / "data", 4 << 20), KAGGLE_ROWS, GENERATED, [NEW], folder / "generated", 4 << 20, 8 * batch)
    else:
        compare(checks, "generated rows", generate(folder / "data", 1 << 16), KAGGLE_ROWS, (4, 1024, 16, None, 4), [NEW], folder / "generated")
    if "--markdown" in sys.argv:
        print("| run | rows, gradients: fewer | in all | " + " | ".join(f"{phase}, kB" for phase in SENT) + " | busiest, rows | gradients | predicted |")
        print("|---|" + "---|" * 9)
        for line in MARKDOWN:
            print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    harness.main(test)
