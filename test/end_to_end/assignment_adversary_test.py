#!/usr/bin/env python3
"""Samples go to their rows on data made to harm that: runs end, train the same, every rank has its share of samples and of new rows, and nothing but
the samples that move is sent beyond what contiguous parts send. `--all` tries more ranks, delays and systems."""
import sys

import harness
import numpy
import recorded_runs

BATCH, STEPS = 120, 12
SGD = {"name": "sgd", "lr": 0.01}
CONFIG = {
    "data": {"max_rows": 50000, "count_samples": BATCH * STEPS},
    "model": {"embedding_dim": 8, "bottom": [8], "top": [8]},
    "optimizer": {"dense": SGD, "sparse": SGD},
    "train": {"global_batch": BATCH},
    "system": {"backend": "host", "threads": 1, "device_memory": "64MiB"},
    "placement": {"strategy": "held"},
    "output": {"report_every": 1, "resume": "never"},
}


def lines(categories, seed=3):
    """Lines of Criteo's format with these categories, [samples][26]."""
    random = numpy.random.default_rng(seed)
    integers = random.integers(0, 50, (len(categories), harness.DENSE))
    labels = random.random(len(categories)) < 0.3
    return ["\t".join([str(int(label)), *map(str, dense), *(f"{int(value):08x}" for value in row)]) + "\n"
            for label, dense, row in zip(labels, integers, categories)]


def made(name, samples=BATCH * STEPS):
    random = numpy.random.default_rng(7)
    number = numpy.arange(samples)[:, None]
    column = numpy.arange(harness.TABLES)[None, :]
    usual = numpy.minimum((random.pareto(0.8, (samples, harness.TABLES)) * 2).astype(int), 40000)
    if name == "one id in every sample":
        usual[:, 3] = 17
        return usual
    return {
        "all ids distinct": 1 + number + 0 * column,
        "ids of their own in one column, one id in all others": numpy.where(column == 5, 1 + number, 9),
        "columns in lockstep": numpy.minimum((random.pareto(0.8, (samples, 1)) * 2).astype(int), 40000) + 0 * column,
        "all samples equal": 5 + column + 0 * number,
        "two kinds of samples": 100 * (number % 2) + column,
        "pairs that come apart": 1 + (number // 2 + (column % 2) * (number % 2)) % 40000,
        "every batch new ids, the same in all of it": 1 + number // BATCH + 0 * column,
        "halves of a batch change places": 1 + (number + (number // BATCH % 2) * BATCH // 2) % BATCH + 0 * column,
        "one rank would get everything": numpy.where(number < BATCH, 7, 1 + number % 300) + 0 * column,
        "no ids": 0 * number + 0 * column,
        "usual": usual,
    }[name]


NAMES = ["one id in every sample", "all ids distinct", "ids of their own in one column, one id in all others", "columns in lockstep", "all samples equal",
         "two kinds of samples", "pairs that come apart", "every batch new ids, the same in all of it", "halves of a batch change places",
         "one rank would get everything", "no ids"]
CONTIGUOUS = {"holders": "arithmetic", "assignment": "contiguous"}
PHASES = ("ids", "rows", "gradients")


def run(config, folder, ranks):
    result = harness.run(config, folder, ranks, timeout=120)
    if result.code != 0:
        print(result.errors[-1500:])
    return result


def sent(run):
    return sum(run.summary["bytes_per_iteration"][phase] for phase in PHASES)


def most_sent(run):
    return sum(run.summary["bytes_per_iteration"]["max"][phase] for phase in PHASES)


def check(checks, what, config, folder, ranks, delay=1, cost=1.0):
    """cost: of what contiguous parts send, at most so many times as much."""
    local = {"holders": "first_use", "assignment": "local", "assignment_delay": delay}
    expected = run(harness.merge(config, {"placement": CONTIGUOUS}), folder / "contiguous", ranks)
    found = run(harness.merge(config, {"placement": local}), folder / f"local_{delay}", ranks)
    what = f"{what}, {ranks} ranks, known {delay} later"
    if not checks.equal((expected.code, found.code, found.timed_out), (0, 0, False), f"{what}: exit codes, and whether it hung"):
        return None
    same = found.losses.keys() == expected.losses.keys()
    checks.at_most(max(abs(found.losses[k] - expected.losses[k]) for k in expected.losses) if same else float("nan"), 1e-5, f"{what}: losses")
    difference = harness.relative_difference(harness.read_checkpoint(found.checkpoint), harness.read_checkpoint(expected.checkpoint))
    checks.at_most(difference, 1e-5, f"{what}: parameters")
    checks.at_most(sent(found), cost * sent(expected) + 200, f"{what}: bytes of ids, rows and gradients, against contiguous parts")
    if most_sent(expected) > 0:
        print(f"       {what}: {sent(found):.0f} bytes for {sent(expected):.0f}; of the busiest {most_sent(found):.0f} for {most_sent(expected):.0f}; "
              f"samples {found.summary['bytes_per_iteration']['samples']:.0f}", flush=True)
    return found


def check_busiest(checks, what, found, limit=1.25):
    """Where every row costs as much as any other, no rank has more of them to do."""
    for phase in ("rows", "gradients"):
        mean, most = found.summary["bytes_per_iteration"][phase], found.summary["bytes_per_iteration"]["max"][phase]
        if mean > 2000:
            checks.at_most(most / mean, limit, f"{what}: {phase} of the busiest rank, against the mean")


def check_short_batches(checks, data, folder):
    """Fewer samples than ranks: in every batch, and in the last one."""
    for batch, samples in ((3, 40), (1, 12), (BATCH, BATCH * 2 + 2)):
        config = harness.merge(CONFIG, {"data": {"train": [data]}, "train": {"global_batch": batch, "samples": samples}})
        for ranks in (4, 5):
            check(checks, f"batches of {batch}", config, folder / f"short_{batch}_{ranks}", ranks, ranks, cost=float("inf"))
    few = harness.write_lines(folder / "few.tsv", lines(made("usual", BATCH + 2)))  # the last batch of the pass is short
    config = harness.merge(CONFIG, {"data": {"train": [few]}, "train": {"epochs": 3}})
    check(checks, "a last batch of 2", config, folder / "last", 5, 3, cost=float("inf"))


def check_small_memory(checks, data, folder):
    """A rank with hardly any memory: the rows that it uses first go to others."""
    topology = folder / "unequal.yaml"
    text = recorded_runs.HEAD.replace("stores: {", "stores: {tiny: {capacity: 700KB}, ") + recorded_runs.RANK.format("rank", "system", 3)
    topology.write_text(text + recorded_runs.RANK.format("last", "system", 1).replace("stores: [memory, slower]", "stores: [tiny]"))
    config = harness.merge(CONFIG, {"data": {"train": [data], "max_rows": 3000}, "system": {"topology": str(topology), "device_memory": "auto"}})
    for strategy in ("held", "optimal"):
        for delay in (1, 3):
            own = harness.merge(config, {"placement": {"strategy": strategy}})
            check(checks, f"a rank without memory, {strategy}", own, folder / f"memory_{strategy}_{delay}", 4, delay, cost=float("inf"))


def test(checks, folder):
    whole = "--all" in sys.argv
    for i, name in enumerate(NAMES):
        data = harness.write_lines(folder / f"{i}.tsv", lines(made(name)))
        config = harness.merge(CONFIG, {"data": {"train": [data]}})
        for ranks, delay in ((4, 1), (4, 4), (7, 2), (2, 2), (8, 8)) if whole else ((4, 2),):
            place = folder / f"{i}_{ranks}"
            found = check(checks, name, config, place, ranks, delay)
            if found and name in ("all ids distinct", "columns in lockstep", "pairs that come apart"):
                check_busiest(checks, f"{name}, {ranks} ranks", found)
        if whole:
            both = {"system": {"topology": str(folder / "2x2.yaml"), "pipeline": "overlapped"}}
            (folder / "2x2.yaml").write_text(recorded_runs.SYSTEMS["2x2"][1])
            check(checks, f"{name}, 2 x 2, overlapped", harness.merge(config, both), folder / f"{i}_2x2", 4, 2)
    usual = harness.write_lines(folder / "usual.tsv", lines(made("usual")))
    check_short_batches(checks, usual, folder)
    check_small_memory(checks, usual, folder)


if __name__ == "__main__":
    harness.main(test)
