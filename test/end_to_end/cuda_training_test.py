"""The CUDA backend trains as the host backend does: one step from identical parameters, at the start and after 10 and 30
steps, on real Criteo rows. The program is the one that users run; the environment decides what its CUDA runtime and its
NCCL are (test/cuda_emulator where there is no GPU).

The runs combine strategy, precision, wire, optimiser, topology and number of ranks so that nearly every pair of values
occurs together.

Tolerances. fp32: both backends sum the same fp32 products in another order, so results differ by some roundoffs of
2^-24 times the square root to the whole of the number of terms (here at most a few hundred): 1e-5 of the loss, and
1e-4 of a parameter, as Adagrad divides a gradient by a number of its own size.
bf16, as precision or on the wire: a value that the two backends computed within 1e-6 of each other rounds to the same
bf16 number unless a boundary lies between, which happens to about one value in 2^-8 / 1e-6 = 4000; then it differs by
2^-8 of its size. A sample has a few hundred such values and its loss is a mean of 64, so a step sees a few tens of
flips, each of which moves the loss by at most 2^-8 / 64 of a sample's loss times the value's share of it: together
below 1e-4. A gradient of which one term of 64 flips differs by 2^-8 / 64 of that term's size, of which Adagrad's update
of lr * g / sqrt(sum of g^2) keeps the relative error: lr * 2^-8 at worst, 1e-4 for lr 0.02, measured against values
of about 0.1: 1e-3."""
import gzip
import itertools
import json
import os

import harness

BATCH = 64
STEPS = (0, 10, 30)
SMOOTH = {"lr": 0.02, "initial_accumulator": 0.0001}
OPTIMIZERS = {
    "sgd": {"dense": {"name": "sgd", "lr": 0.1}, "sparse": {"name": "sgd", "lr": 0.1}},
    "rowwise": {"dense": {"name": "adagrad", **SMOOTH}, "sparse": {"name": "rowwise_adagrad", **SMOOTH}},
    "adagrad": {"dense": {"name": "adagrad", **SMOOTH}, "sparse": {"name": "adagrad", **SMOOTH}},
}
# name: ranks, topology (None: as launched)
SYSTEMS = {
    "one": (1, None),
    "two": (2, None),
    "pair": (2, [("node", 2), ("rank", 1)]),
    "four": (4, [("rank", 4)]),
    "nodes": (4, [("node", 2), ("rank", 2)]),
}
COMBINATIONS = [  # system, strategy, precision, wire, optimiser
    ("one", "optimal", "fp32", "fp32", "rowwise"),
    ("one", "held", "bf16", "fp32", "sgd"),
    ("two", "held", "fp32", "fp32", "adagrad"),
    ("two", "table_wise", "bf16", "bf16", "rowwise"),
    ("pair", "optimal", "bf16", "fp32", "adagrad"),
    ("pair", "replicated", "fp32", "bf16", "sgd"),
    ("four", "row_wise", "fp32", "fp32", "sgd"),
    ("four", "hot_cold", "bf16", "bf16", "adagrad"),
    ("nodes", "hot_cold", "fp32", "fp32", "rowwise"),
    ("nodes", "held", "fp32", "bf16", "rowwise"),
]
CONFIG = {
    "data": {"max_rows": 500, "count_samples": 4000},
    "model": {"embedding_dim": 8, "bottom": [16], "top": [16]},
    "train": {"global_batch": BATCH, "seed": 5},
    "system": {"threads": 1, "device_memory": "24MiB", "timeout": 60},
    "output": {"report_every": 1, "resume": "never"},
}


def write_topology(path, levels):
    """A made-up cluster: the placement needs figures, the training does not depend on them."""
    lines = ["name: test", "links: {wire: {bandwidth: 1GB/s, latency: 10us, overhead: 1us}}",
             "stores: {memory: {capacity: 24MiB}}", "domains:", "  - {name: system}"]
    parent = "system"
    for name, count in levels:
        own = "stores: [memory], flops: 1Tflop/s, work: {hash: 1G/s, gather: 1GB/s, pack: 1GB/s, update: 1GB/s}, " if name == "rank" else ""
        lines.append(f"  - {{name: {name}, parent: {parent}, {own}count: {count}, links: [wire]}}")
        parent = name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def configuration(combination, folder):
    system, strategy, precision, wire, optimizer = combination
    ranks, levels = SYSTEMS[system]
    changes = {"optimizer": OPTIMIZERS[optimizer], "system": {"precision": precision, "wire": wire}, "placement": {"strategy": strategy}}
    levels = levels or [("rank", ranks)]  # rates given, not measured: every run has the same plan
    changes["system"]["topology"] = write_topology(folder / f"{system}.yaml", levels)
    return ranks, harness.merge(CONFIG, changes)


def check_combination(checks, combination, files, folder):
    name = " ".join(combination)
    ranks, config = configuration(combination, folder)
    config = harness.merge(config, {"data": {"train": files}})
    exact = combination[2] == combination[3] == "fp32"
    loss_limit, limit = (1e-5, 1e-4) if exact else (1e-4, 1e-3)
    place = folder / "_".join(combination)
    for step in STEPS:
        start = "never"
        if step > 0:
            # Parameters that have been trained for a while, by the host on one rank: any rank count and plan may load them.
            until = folder / f"until_{step}_{combination[4]}"
            if not until.exists():
                single = {"train": {"samples": step * BATCH}, "optimizer": OPTIMIZERS[combination[4]], "data": {"train": files}}
                single = harness.merge(CONFIG, single)
                harness.train(single, until, 1, ("--backend", "host"))
            start = str(harness.newest_checkpoint(until))
        one = harness.merge(config, {"train": {"samples": (step + 1) * BATCH}, "output": {"resume": start}})
        expected = harness.train(one, place / f"host_{step}", ranks, ("--backend", "host"))
        found = harness.train(one, place / f"cuda_{step}", ranks, ("--backend", "cuda"))
        checks.equal(found.summary["backend"], "cuda", f"{name}, step {step}: backend")
        loss = abs(found.losses[step + 1] - expected.losses[step + 1])
        checks.at_most(loss, loss_limit, f"{name}, step {step}: loss")
        arrays = harness.read_checkpoint(expected.checkpoint)
        difference = harness.relative_difference(harness.read_checkpoint(found.checkpoint), arrays)
        checks.at_most(difference, limit, f"{name}, step {step}: parameters and state")


def test(checks, folder):
    with gzip.open(harness.real_rows(), "rt") as rows:
        lines = list(itertools.islice(rows, (max(STEPS) + 1) * BATCH))
    files = [harness.write_lines(folder / "rows.tsv", lines)]
    for combination in COMBINATIONS:
        check_combination(checks, combination, files, folder)


harness.main(test)
