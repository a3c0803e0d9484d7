"""The CUDA backend trains as the host backend does: one step from identical parameters, at the start and after 10 and 30
steps, on real Criteo rows. The program is the one that users run; the environment decides what its CUDA runtime and its
NCCL are (test/cuda_emulator where there is no GPU).

Longer runs: fetched rows, which are in pinned host memory there and in a file on the host backend, and the overlapped
step, which gives the bits of the sequential one. Device memory: too little is an error before training that says what
each part needs, and as much as it says is enough.

The runs combine strategy, precision, wire, optimiser, topology and number of ranks so that nearly every pair of values
occurs together. NCCL wants a GPU for each rank: SPARROW_GPUS, where it is set, says how many there are, and combinations
of more ranks are skipped.

Tolerances. fp32: both backends sum the same fp32 products in another order. A sum of n <= 400 terms is uncertain by about
sqrt(n) * 2^-24 = 1.2e-6 of its terms' size, a loss averages 64 of those (/ 8) after four layers of them (* 2): 3e-7 of a
loss below 1, so 1e-6. A gradient of size up to 0.1 is uncertain by 1.2e-7; Adagrad divides it by at least
sqrt(initial_accumulator) = 0.01 and multiplies it by lr = 0.02: 2.4e-7 of a parameter, against tensors of 0.03 at least
(a table of 500 rows): 8e-6, so 1e-5.

bf16, as precision or on the wire: two values that differ by 2^-22 of their size round to different bf16 numbers if a
boundary lies between, one in about 2^-22 / 2^-8 = 16000 of them. A step rounds 64 samples * 420 computed values, of which
some two flip, each by 2^-8. One of the 16 inputs of the last layer moves its sample's logit by 2^-8 / 16 of itself and the
mean loss by 1/64 of that: 4e-6 a flip, so 1e-5.
A flip moves a gradient g that is rounded as a whole by 2^-8 g, and Adagrad's step lr g / sqrt(a + g^2) by at most 0.385
* 2^-8 lr = 3e-5 (at g^2 = a / 2): 1e-3 of a table's values; its accumulator, a sum of squares, by at most 2^-7 of
itself. But few values flip: beside the two, the gradients of their samples, changed by 1e-4 of themselves, flip once in
2^-8 / 1e-4 = 40: of 500 values a dozen. The rest stays within 1e-5 as in fp32. So few of some 100000 values may lie
between 1e-5 and 1e-3: SHARE. (Truncating instead of rounding in one kernel moves 0.9 % of them beyond, and the loss by
1.6e-5 to 3.6e-5.)"""
import gzip
import itertools
import os
import pathlib
import re

import harness
import numpy

BATCH = 64
STEPS = (0, 10, 30)
LOSS = {"fp32": 1e-6, "bf16": 1e-5}
WORST = {"fp32": 1e-5, "bf16": 1e-3}
WORST_STATE = {"fp32": 1e-5, "bf16": 2**-7}
USUAL, SHARE = 1e-5, 0.001  # of all values, at most this share may differ by more than the usual
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
             "stores: {memory: {capacity: 24MiB}, slower: {capacity: 64MiB, bandwidth: 10GB/s, latency: 1us}}",
             "domains:", "  - {name: system}"]
    parent = "system"
    for name, count in levels:
        own = "stores: [memory, slower], flops: 1Tflop/s, work: {hash: 1G/s, gather: 1GB/s, pack: 1GB/s, update: 1GB/s}, " if name == "rank" else ""
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
    rounding = "bf16" if "bf16" in combination else "fp32"
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
        checks.at_most(loss, LOSS[rounding], f"{name}, step {step}: loss")
        arrays, others = harness.read_checkpoint(expected.checkpoint), harness.read_checkpoint(found.checkpoint)
        differences = {key: harness.relative_differences(others[key], values) for key, values in arrays.items()}
        for kind, is_state, limits in (("parameters", False, WORST), ("state", True, WORST_STATE)):
            worst = [values.max() for key, values in differences.items() if key.startswith("state.") == is_state]
            checks.at_most(numpy.max(worst, initial=0.0), limits[rounding], f"{name}, step {step}: {kind}")
        differences = numpy.concatenate(list(differences.values()))
        share = numpy.count_nonzero(~(differences <= USUAL)) / len(differences)
        checks.at_most(share, SHARE, f"{name}, step {step}: share of {len(differences)} values beyond {USUAL:g}")


LONG = 12  # steps
SGD = {"name": "sgd", "lr": 0.01}  # differences do not grow: as the definition of "same training" has it
LONG_RUNS = [  # system, placement, device memory
    ("one", {"strategy": "fetched"}, "24MiB"),
    ("two", {"strategy": "fetched"}, "24MiB"),
    ("two", {"strategy": "optimal", "replan_every": 4 * BATCH}, None),  # None: less than the first plan wants
    ("nodes", {"strategy": "hot_cold"}, "24MiB"),
]


def long_configuration(run, folder):
    system, placement, memory = run
    ranks, config = configuration((system, placement["strategy"], "fp32", "fp32", "sgd"), folder)
    changes = {"optimizer": {"dense": SGD, "sparse": SGD}, "placement": placement, "train": {"samples": LONG * BATCH}}
    return ranks, harness.merge(config, {**changes, "system": {"device_memory": memory or "24MiB"}})


def check_long_run(checks, run, files, folder):
    name = f"{run[0]}, {run[1]}"
    ranks, config = long_configuration(run, folder)
    config = harness.merge(config, {"data": {"train": files}})
    place = folder / f"long_{run[0]}_{run[1]['strategy']}"
    place.mkdir()
    if run[2] is None:
        overlapped = ("--backend", "cuda", "--set", "system.pipeline=overlapped")  # needs the more of the two
        whole = harness.train(config, place / "whole", ranks, overlapped)
        all_rows = harness.TABLES * CONFIG["data"]["max_rows"] * 4 * CONFIG["model"]["embedding_dim"]
        budget = int(whole.summary["device_memory_bytes"]["planned"]) - all_rows // 4
        config = harness.merge(config, {"system": {"device_memory": budget}})
    expected = harness.train(config, place / "host", ranks, ("--backend", "host"))
    found = {}
    for pipeline in ("sequential", "overlapped"):
        arguments = ("--backend", "cuda", "--set", f"system.pipeline={pipeline}")
        found[pipeline] = harness.train(config, place / pipeline, ranks, arguments)
        memory = found[pipeline].summary["device_memory_bytes"]
        checks.at_most(memory["used"], memory["planned"], f"{name}, {pipeline}: device memory in use")
    sequential, overlapped = found["sequential"], found["overlapped"]
    if run[1]["strategy"] != "optimal":  # else the two may be planned differently
        checks.that(sequential.losses == overlapped.losses, f"{name}: losses of both pipelines, to the bit")
        checks.that(harness.same_bytes(sequential.checkpoint, overlapped.checkpoint), f"{name}: checkpoints of both, to the bit")
    for pipeline, run_found in found.items():
        worst = max(abs(run_found.losses[step] - loss) for step, loss in expected.losses.items())
        checks.at_most(worst, 1e-5, f"{name}, {pipeline}: losses of {LONG} steps, against the host")
    if run[1]["strategy"] == "fetched":
        moved = overlapped.summary["store_bytes_per_iteration"]
        checks.at_least(moved["read"], 1, f"{name}: bytes read from pinned memory in a step")


def check_memory(checks, files, folder):
    """Two ranks that hold all rows."""
    ranks, config = configuration(("two", "held", "fp32", "fp32", "rowwise"), folder)
    config = harness.merge(config, {"data": {"train": files}, "train": {"samples": 4 * BATCH}, "output": {"checkpoint_every": 0}})
    arguments = ("--backend", "cuda", "--set", "system.pipeline=overlapped", "--set")
    small = harness.run(config, folder / "small", ranks, (*arguments, "system.device_memory=300KB"))
    checks.that(small.code != 0, "too little device memory ends the run")
    checks.that(not (folder / "small/metrics.jsonl").exists(), "before training")
    for part in ("embedding rows", "optimiser state of rows", "dense parameters", "activations", "exchange buffers", "scratch space"):
        checks.that(part in small.errors, f"the error names {part}")
    needed = re.search(r"total, at most +(\d+) bytes", small.errors)
    if not checks.that(needed, "and says what is needed in all"):
        print(small.errors)
        return
    enough = harness.run(config, folder / "enough", ranks, (*arguments, f"system.device_memory={needed[1]}"))
    if not checks.equal(enough.code, 0, f"exit code with the {needed[1]} bytes that it says"):
        print(enough.errors)
        return
    memory = enough.summary["device_memory_bytes"]
    checks.equal(int(memory["planned"]), int(needed[1]), "bytes planned")
    checks.at_most(memory["used"], memory["planned"], "bytes in use")
    less = harness.run(config, folder / "less", ranks, (*arguments, f"system.device_memory={int(needed[1]) - 256}"))
    checks.that(less.code != 0, "256 bytes less do not do")


def check_without_libraries(checks, files, folder):
    """The program where a library of CUDA's cannot be loaded: as where it is missing."""
    ranks, config = configuration(("two", "held", "fp32", "fp32", "rowwise"), folder)
    config = harness.merge(config, {"data": {"train": files}, "train": {"samples": 2 * BATCH}})
    before = os.environ.get("LD_LIBRARY_PATH", "")
    for library in ("libnccl.so.2", f"libcudart.so.{cuda_version()}"):
        broken = folder / f"broken_{library}"
        broken.mkdir()
        (broken / library).write_text("no library")
        os.environ["LD_LIBRARY_PATH"] = f"{broken}:{before}"
        try:
            auto = harness.run(config, folder / f"auto_{library}", ranks, ("--backend", "auto"))
            cuda = harness.run(config, folder / f"cuda_{library}", ranks, ("--backend", "cuda"))
        finally:
            os.environ["LD_LIBRARY_PATH"] = before
        if checks.equal(auto.code, 0, f"exit code of --backend auto without {library}"):
            checks.equal(auto.summary["backend"], "host", "its backend")
            checks.that(library in auto.output + auto.errors, "and it says why")
        checks.that(cuda.code != 0 and library in cuda.errors, f"--backend cuda without {library} is refused, with the reason")


def cuda_version():
    """The number in the name of the CUDA runtime that the backend was linked with."""
    module = pathlib.Path(harness.PROGRAM).parent / "libsparrow_cuda.so"
    return re.search(rb"libcudart\.so\.(\d+)", module.read_bytes())[1].decode()


def ranks_of(combination):
    return SYSTEMS[combination[0]][0]


def test(checks, folder):
    gpus = int(os.environ.get("SPARROW_GPUS", max(ranks_of(c) for c in COMBINATIONS)))
    possible = [c for c in COMBINATIONS if ranks_of(c) <= gpus]
    for combination in COMBINATIONS:
        if combination not in possible:
            print(f"skipped {' '.join(combination)}: {ranks_of(combination)} ranks need as many GPUs, there are {gpus}", flush=True)
    if not possible:
        harness.skip(f"training needs a GPU, SPARROW_GPUS says {gpus}")
    with gzip.open(harness.real_rows(), "rt") as rows:
        lines = list(itertools.islice(rows, (max(STEPS) + 1) * BATCH))
    files = [harness.write_lines(folder / "rows.tsv", lines)]
    for combination in possible:
        check_combination(checks, combination, files, folder)
    for run in LONG_RUNS:
        if SYSTEMS[run[0]][0] <= gpus:
            check_long_run(checks, run, files, folder)
    if gpus >= 2:
        check_memory(checks, files, folder)
        check_without_libraries(checks, files, folder)


harness.main(test)
