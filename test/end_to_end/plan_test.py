#!/usr/bin/env python3
"""sparrow plan as a person runs it: every system of configs/topologies, plan files, sweeps, counts, and what is said when a
topology, a budget, a counts file or the command line is wrong."""
import csv
import io
import json
import re
import subprocess
import sys

import numpy

import harness

TOPOLOGIES = sorted((harness.REPOSITORY / "configs/topologies").glob("*.yaml"))
SMALL = ["--tables", "criteo-kaggle", "--dim", "32", "--batch", "8192"]


def plan(*arguments, seconds=120):
    return subprocess.run([harness.PROGRAM, "plan", *map(str, arguments)], capture_output=True, text=True, timeout=seconds)


def topology(name):
    return harness.REPOSITORY / "configs/topologies" / (name + ".yaml")


def refused(checks, what, result, *parts):
    """The command has failed with code 1 and an error that contains every part."""
    fine = result.returncode == 1 and not result.stdout and all(part in result.stderr for part in parts)
    checks.that(fine, f"{what}: {(result.stderr or result.stdout).strip()[:160]}")


def text_report(checks):
    result = plan("--topology", topology("dgx-h100"), "--tables", "criteo-terabyte", "--dim", 128, "--batch", 65536,
                  "--device-memory", "16GiB")
    checks.equal(result.returncode, 0, "a plan of Criteo Terabyte ends with code 0")
    for part in ("882,774,559 rows", "modelled, not measured", "optimistic", "lower bound", "optimality gap", "minimum of", "Rows by placement",
                 "replicated", "held", "fetched", "Memory of one store", "Phases", "Strategies under the same cost model", "table_wise",
                 "does not fit", "Value of more resources", "more in every node/gpu:hbm would save"):
        checks.that(part in result.stdout, f"the report says '{part}'")


def every_topology(checks):
    """At most 1 % above the bound, and never worse than a named strategy."""
    checks.at_least(len(TOPOLOGIES), 8, "systems in configs/topologies")
    for path in TOPOLOGIES:
        result = plan("--topology", path, *SMALL, "--json")
        if not checks.equal(result.returncode, 0, f"{path.name} is planned"):
            print(result.stderr)
            continue
        report = json.loads(result.stdout)
        for key in ("seconds_per_iteration", "bound", "gap", "floor_bytes", "samples_per_second", "memory", "prices", "phases", "strategies"):
            if key not in report:
                checks.that(False, f"{path.name}: --json has {key}")
        checks.at_most(report["gap"], 0.01, f"{path.name}: gap")
        best = min(s["seconds_per_iteration"] for s in report["strategies"] if "infeasible" not in s)
        # The report rounds nothing, so equality is exact.
        checks.at_most(report["seconds_per_iteration"], best, f"{path.name}: seconds, against the best strategy")
        rows = sum(sum(table["rows_by_place"].values()) for table in report["tables"])
        checks.equal(rows, 33762577, f"{path.name}: rows placed")
        for store in report["memory"]:
            if store["used_bytes"] + store["reserved_bytes"] > store["capacity_bytes"]:
                checks.that(False, f"{path.name}: {store['store']} is over its capacity")


def plan_file(checks, folder):
    arguments = ["--topology", topology("dgx-h100-x16"), *SMALL, "--device-memory", "100MB", "--out"]
    first, second = plan(*arguments, folder / "a.json"), plan(*arguments, folder / "b.json")
    checks.equal(first.returncode, 0, "a plan file is written")
    checks.that((folder / "a.json").read_bytes() == (folder / "b.json").read_bytes(), "the same question gives the same bytes")
    checks.that(first.stdout == second.stdout, "and the same report")
    content = json.loads((folder / "a.json").read_text())
    checks.equal((content["format"], content["version"], len(content["tables"])), ("sparrow-plan", 1, 26), "format, version, tables")
    # Counted here, from the file alone: rows covered without gaps, and bytes on each of the 128 GPUs by the holder rule.
    used = numpy.zeros(128, dtype=numpy.int64)
    covered = True
    for table in content["tables"]:
        bounds = [first for first, _, _ in table["intervals"]] + [table["rows"]]
        covered &= bounds[0] == 0 and all(last == after for (_, last, _), after in zip(table["intervals"], bounds[1:]))
        for first, last, option in table["intervals"]:
            chosen = content["options"][option]
            if chosen["sites"][0]["name"] != "cluster/node/gpu:hbm":
                continue
            slots = {0: 128, 1: 8, 2: 1}[chosen["level"]]
            residues = (numpy.arange(slots) - table["offset"]) % slots  # positions i with i mod slots = residue live there
            rows = (last - residues + slots - 1) // slots - (first - residues + slots - 1) // slots
            used += numpy.tile(rows, 128 // slots) * (32 * 4 + 4)
    checks.that(covered, "intervals cover every table without gaps")
    checks.at_most(used.max(), 100e6, "bytes on the fullest GPU")


def strategies(checks, folder):
    base = json.loads(plan("--topology", topology("dgx-h100"), *SMALL, "--json").stdout)
    times = {s["name"]: s.get("seconds_per_iteration") for s in base["strategies"]}
    checks.equal(sorted(times), sorted(["optimal", "held", "table_wise", "row_wise", "replicated", "fetched",
                                          "fetched, undeduplicated", "hot_cold"]), "strategies shown")
    held = json.loads(plan("--topology", topology("dgx-h100"), *SMALL, "--strategy", "held", "--out", folder / "held.json", "--json").stdout)
    checks.equal(held["seconds_per_iteration"], times["held"], "--strategy held reports the time of held")
    checks.equal(json.loads((folder / "held.json").read_text())["strategy"], "held", "and writes its plan")
    explained = plan("--topology", topology("dgx-h100"), *SMALL, "--device-memory", "400MB", "--explain", "C3:1000")
    marked = re.findall(r"^  \* +[0-9.]+ [a-z]+  (held|replicated|fetched|a copy)", explained.stdout, re.MULTILINE)
    checks.equal((explained.returncode, len(marked)), (0, 1), "--explain marks the plan's option, one")
    refused(checks, "a table that is not there", plan("--topology", topology("dgx-h100"), *SMALL, "--explain", "C27"), "C27")
    refused(checks, "a position that is not there", plan("--topology", topology("dgx-h100"), *SMALL, "--explain", "C9:3"), "'3'", "0 to 2")


def samples_to_rows(checks, folder):
    """With a locality profile the plan decides whether samples go to their rows."""
    bins = [[lookups, 1000, 0.1, [into], [distinct], [into], [distinct]]
            for lookups, into, distinct in ((0.1, 0.1, 0.6), (2, 0.3, 0.7), (20, 0.8, 0.95), (200, 1, 1))]
    profile = {"format": "sparrow-locality", "version": 1, "data": "made up", "measurements": [
        {"domains": [16], "global_batch": 16384, "delay": 1, "passes": 1, "holders": "first_use", "generated": True, "batches": 16,
         "first_counted": 5, "busiest": 1.05, "new_row_bytes": 2.5, "seconds_per_sample": 1e-6, "tables": [bins] * 26}]}
    (folder / "profile.json").write_text(json.dumps(profile))
    known = ["--locality", folder / "profile.json"]
    ethernet = ["--topology", topology("ethernet-16"), "--tables", "criteo-kaggle", "--dim", 128, "--batch", 16384]
    without = json.loads(plan(*ethernet, "--json").stdout)
    result = plan(*ethernet, *known, "--json", "--out", folder / "assigned.json")
    if not checks.equal(result.returncode, 0, "a plan with a locality profile ends with code 0"):
        print(result.stderr)
        return
    report = json.loads(result.stdout)
    assignment = report["assignment"]
    checks.that(assignment["local"], "on slow links samples go to their rows")
    checks.equal(assignment["contiguous"]["seconds_per_iteration"], without["seconds_per_iteration"], "time beside it, without")
    checks.equal(assignment["assigned"]["seconds_per_iteration"], report["seconds_per_iteration"], "time with it is the plan's")
    checks.at_least(without["seconds_per_iteration"] / report["seconds_per_iteration"], 1.2, "times faster")
    checks.at_least(report["bytes_per_iteration"]["samples"], 1, "bytes of samples")
    sent = sum(report["bytes_per_iteration"][phase] for phase in ("ids", "rows", "gradients", "samples", "allreduce"))
    checks.at_most(abs(sent / report["bytes_per_iteration"]["total"] - 1), 1e-9, "the phases add up to the total, relative difference")
    checks.equal({s["name"]: s.get("seconds_per_iteration") for s in report["strategies"][1:]},
                 {s["name"]: s.get("seconds_per_iteration") for s in without["strategies"][1:]}, "named strategies cost what they cost")
    content = json.loads((folder / "assigned.json").read_text())
    checks.equal((content["assignment"]["delay"], content["tables"][2].get("holders")), (assignment["delay"], "first_use"), "in the plan file")
    text = plan(*ethernet, *known).stdout
    checks.that("to their rows: " in text and "fewer rows sent" in text, "the report says what it brings")
    fast = plan("--topology", topology("dgx-h100"), *SMALL, *known)
    checks.that("stay where they are read: " in fast.stdout, "and that samples stay where links are fast")
    refused(checks, "a profile of other tables", plan("--topology", topology("dgx-h100"), "--tables", "3x1000", "--distribution", "uniform",
                                                      *known), "26 tables", "3")
    refused(checks, "a profile that is not there", plan(*ethernet, "--locality", folder / "none.json"), "none.json")


def sweeps(checks, folder):
    out = folder / "sweep.csv"
    result = plan("--topology", topology("dgx-h100"), *SMALL, "--sweep", "memory=300MB,1GB,4GB", "--sweep", "exponent=0.8,1.2", "--out", out)
    checks.equal(result.returncode, 0, "a sweep of two keys ends with code 0")
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    checks.equal(len(rows), 3 * 2 * 8, "rows of the CSV: points times strategies")
    for exponent in ("0.8", "1.2"):
        seconds = [float(r["seconds_per_iteration"]) for r in rows if r["strategy"] == "optimal" and r["exponent"] == exponent]
        # More memory only adds choices; 1e-4 is how far from the optimum the solver may stop.
        checks.that(all(b <= a * (1 + 1e-4) for a, b in zip(seconds, seconds[1:])), f"exponent {exponent}: more memory is never slower {seconds}")
    ranks = plan("--topology", topology("dgx-h100-x16"), *SMALL, "--sweep", "ranks=4,8,32", "--strategy", "held")
    checks.equal(len(ranks.stdout.strip().split("\n")), 4, "rows of a sweep over ranks")
    refused(checks, "an unknown key", plan("--topology", topology("dgx-h100"), *SMALL, "--sweep", "colour=1"), "colour=1", "exponent")
    refused(checks, "ranks that do not divide", plan("--topology", topology("dgx-h100-x16"), *SMALL, "--sweep", "ranks=12"), "12", "8 ranks of a node")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("not checked: scripts/plot.py (no matplotlib)")
        return
    drawn = subprocess.run([sys.executable, str(harness.REPOSITORY / "scripts/plot.py"), str(out), "--out", str(folder / "sweep.png")],
                           capture_output=True, text=True)
    checks.that(drawn.returncode == 0 and (folder / "sweep.png").stat().st_size > 1000, f"scripts/plot.py draws it {drawn.stderr}")


def counts(checks, folder):
    """Planned from histograms, and from counts by row when there are none: the same numbers."""
    random = numpy.random.default_rng(1)
    for table, rows in enumerate((1000, 50000)):
        by_row = numpy.bincount(random.zipf(1.3, 200000) % rows, minlength=rows).astype(numpy.int64)
        numpy.save(folder / f"table_{table:02}.npy", by_row)
        values, numbers = numpy.unique(by_row, return_counts=True)
        numpy.save(folder / f"histogram_{table:02}.npy", numpy.stack([values[::-1], numbers[::-1]], axis=1).astype(numpy.int64))
    arguments = ["--topology", topology("workstation-2gpu"), "--counts", folder, "--dim", 16, "--batch", 1024, "--json"]
    from_histogram = plan(*arguments)
    checks.equal(from_histogram.returncode, 0, "counts are planned")
    sampled = plan(*arguments, "--sampled")
    checks.that(sampled.returncode == 0 and sampled.stdout != from_histogram.stdout, "--sampled leaves probability to rows not seen")
    for table in range(2):
        (folder / f"histogram_{table:02}.npy").unlink()
    checks.that(plan(*arguments).stdout == from_histogram.stdout, "counts by row and their histograms give the same plan")
    numpy.save(folder / "table_01.npy", numpy.full(10, -1, dtype=numpy.int64))
    refused(checks, "a negative count", plan(*arguments), "table_01.npy")
    numpy.save(folder / "table_01.npy", numpy.ones((10, 2), dtype=numpy.int64))
    refused(checks, "counts of the wrong shape", plan(*arguments), "table_01.npy", "(10, 2)")
    numpy.save(folder / "table_01.npy", numpy.ones(10, dtype=numpy.float32))
    refused(checks, "counts of the wrong type", plan(*arguments), "table_01.npy")
    numpy.save(folder / "histogram_01.npy", numpy.array([[5, -1]], dtype=numpy.int64))
    refused(checks, "a histogram with negative rows", plan(*arguments), "histogram_01.npy")
    refused(checks, "a folder without counts", plan("--topology", topology("dgx-h100"), "--counts", folder / "none"), "none", "histogram_00.npy")


GOOD = """name: small
links:
  wire: {bandwidth: 10GB/s}
stores:
  ram: {capacity: 1GB}
domains:
  - {name: root}
  - {name: node, parent: root, count: 2, links: [wire]}
  - {name: rank, parent: node, count: 2, links: [wire], stores: [ram]}
"""


def bad_topologies(checks, folder):
    path = folder / "bad.yaml"
    path.write_text(GOOD)
    small = ["--tables", "4x1e5", "--distribution", "zipf:1", "--batch", 64]
    checks.equal(plan("--topology", path, *small).returncode, 0, "the good topology is planned")
    for what, old, new, *said in (
            ("a cycle", "{name: root}", "{name: root, parent: rank}", "bad.yaml:", "parent", "cycle"),
            ("a negative bandwidth", "10GB/s", "-10GB/s", "bad.yaml:3", "links.wire.bandwidth", "negative"),
            ("an unknown store", "stores: [ram]", "stores: [rom]", "bad.yaml:9", "domains[2].stores[0]", "rom", "ram"),
            ("zero ranks", "count: 2, links: [wire], stores", "count: 0, links: [wire], stores", "bad.yaml:9", "domains[2].count"),
            ("an unknown key", "parent: node", "parnt: node", "bad.yaml:9", "parnt", "parent"),
            ("a wrong unit", "1GB}", "1Gbit}", "bad.yaml:5", "stores.ram.capacity")):
        path.write_text(GOOD.replace(old, new, 1))
        refused(checks, what, plan("--topology", path, *small), *said)
    refused(checks, "no such file", plan("--topology", folder / "none.yaml", *small), "none.yaml", "No such file")


def infeasible(checks, folder):
    path = folder / "small.yaml"
    path.write_text(GOOD)
    # 4 tables of 1e7 rows of 64 * 4 + 4 bytes: 10.4 GB into 4 ranks of 1 GB.
    result = plan("--topology", path, "--tables", "4x1e7", "--distribution", "zipf:1", "--batch", 64)
    refused(checks, "tables that fit nowhere", result, "root/node/rank:ram", "10400000000", "4 x")
    result = plan("--topology", path, "--tables", "4x1e5", "--distribution", "zipf:1", "--batch", 64, "--device-memory", "1kB")
    refused(checks, "a budget below the buffers", result, "root/node/rank:ram", "buffers", "1000")
    result = plan("--topology", topology("dgx-h100"), "--tables", "criteo-terabyte", "--dim", 128, "--strategy", "replicated")
    refused(checks, "a strategy that does not fit", result, "replicated", "node/gpu:hbm")


PAIR = """name: pair
links:
  loop: {bandwidth: 1GB/s, latency: 20us}
stores:
  memory: {capacity: 1GB}
domains:
  - name: host
  - {name: rank, parent: host, count: 2, links: [loop], stores: [memory], flops: 50Gflop/s}
"""


def training_applies(checks, folder):
    """`plan --out` on counts of the data, then `train` with that file: it does what the plan says, and learns what rows held
    in one place learn."""
    harness.write_lines(folder / "rows.tsv", harness.make_lines(8000, seed=4))
    (folder / "pair.yaml").write_text(PAIR)
    counted = subprocess.run([harness.PROGRAM, "count", str(folder / "rows.tsv"), "--out", str(folder / "counts"), "--max-rows", "2000"],
                             capture_output=True, text=True, timeout=60)
    checks.equal(counted.returncode, 0, "the rows are counted")
    planned = plan("--topology", folder / "pair.yaml", "--counts", folder / "counts", "--dim", 16, "--batch", 250, "--bottom", 32,
                   "--top", 32, "--optimizer", "sgd", "--device-memory", "3500kB", "--out", folder / "plan.json", "--json")
    if not checks.equal(planned.returncode, 0, "a plan for two ranks"):
        print(planned.stderr)
        return
    report = json.loads(planned.stdout)
    places = {place for table in report["tables"] for place, rows in table["rows_by_place"].items() if rows > 0}
    checks.at_least(len(places), 2, f"places of rows in the plan ({', '.join(sorted(places))})")
    sgd = {"name": "sgd", "lr": 0.01}
    config = {
        "data": {"train": [str(folder / "rows.tsv")], "max_rows": 2000, "counts": str(folder / "counts")},
        "model": {"embedding_dim": 16, "bottom": [32], "top": [32]},
        "optimizer": {"dense": sgd, "sparse": sgd},
        "train": {"global_batch": 250, "samples": 5000},
        "system": {"backend": "host", "threads": 1, "topology": str(folder / "pair.yaml"), "device_memory": "3500kB",
                   "pipeline": "sequential"},
        "placement": {"strategy": "held"},
        "output": {"report_every": 1, "resume": "never"},
    }
    held = harness.train(config, folder / "held", 2)
    applied = harness.train(harness.merge(config, {"placement": {"plan": str(folder / "plan.json")}}), folder / "applied", 2)
    checks.equal(len(applied.losses), 20, "steps of the run with the plan file")
    furthest = max(abs(applied.losses[step] - held.losses[step]) for step in held.losses)
    checks.at_most(furthest, 1e-5, "losses of 20 steps, with the plan file and with rows held")
    # Sums of distinct rows of 20 batches stay within 10 % of their expectation, the plan's own bytes.
    sent, expected = (of["bytes_per_iteration"]["total"] for of in (applied.summary, applied.summary["predicted"]))
    checks.at_most(abs(sent / expected - 1), 0.1, f"bytes sent against the plan's ({sent:.0f} against {expected:.0f})")


SQUARE = """name: square
links:
  loop: {bandwidth: 1GB/s, latency: 20us}
  network: {bandwidth: 100MB/s, latency: 50us, overhead: 5us}
stores:
  memory: {capacity: 1GB}
domains:
  - name: cluster
  - {name: node, parent: cluster, count: 2, links: [network]}
  - {name: rank, parent: node, count: 2, links: [loop], stores: [memory], flops: 50Gflop/s}
"""


def same_costs(checks, folder):
    """`plan` and `train` cost the same problem equally, to the bit: the optimum, and strategies with and without duplicates."""
    harness.write_lines(folder / "rows.tsv", harness.make_lines(1000, seed=4))
    (folder / "square.yaml").write_text(SQUARE)
    bags = [1, 3] * 13
    numbers = ",".join(map(str, bags))
    counted = subprocess.run([harness.PROGRAM, "count", str(folder / "rows.tsv"), "--out", str(folder / "counts"), "--max-rows", "2000",
                              "--bag-sizes", numbers], capture_output=True, text=True, timeout=60)
    checks.equal(counted.returncode, 0, f"the rows are counted {counted.stderr}")
    arguments = ["--topology", folder / "square.yaml", "--counts", folder / "counts", "--dim", 16, "--batch", 250, "--bottom", 32,
                 "--top", 32, "--bag-sizes", numbers, "--json"]
    config = {
        "data": {"train": [str(folder / "rows.tsv")], "max_rows": 2000, "counts": str(folder / "counts"), "bag_sizes": bags},
        "model": {"embedding_dim": 16, "bottom": [32], "top": [32]},
        "train": {"global_batch": 250, "samples": 500},
        "system": {"backend": "host", "threads": 1, "topology": str(folder / "square.yaml"), "pipeline": "sequential"},
        "output": {"checkpoint_every": -1, "resume": "never"},
    }
    bf16 = {"precision": "bf16", "wire": "bf16", "pipeline": "overlapped"}
    small = {"device_memory": "2MB"}
    for name, more, changes in (
            ("optimal", ["--device-memory", "2MB"], {"system": small}),
            ("optimal, roomy", [], {}),
            ("optimal, overlapped in bf16", ["--wire", "bf16", "--pipeline", "overlapped"], {"system": bf16}),
            ("row_wise", ["--strategy", "row_wise", "--deduplicate"], {"placement": {"strategy": "row_wise"}}),
            ("hot_cold", ["--strategy", "hot_cold", "--deduplicate", "--no-combine", "--device-memory", "2MB"],
             {"placement": {"strategy": "hot_cold", "combine": False}, "system": small}),
            ("table_wise", ["--strategy", "table_wise"], {"placement": {"strategy": "table_wise", "deduplicate": False}})):
        planned = plan(*arguments, *more)
        if not checks.equal(planned.returncode, 0, f"{name} is planned {planned.stderr}"):
            continue
        report = json.loads(planned.stdout)
        run = harness.train(harness.merge(config, changes), folder / name.replace(" ", "_"), 4)
        predicted = run.summary["predicted"]
        if report["strategy"] == "optimal":
            preferred = json.loads((run.directory / "start/plan.json").read_text())["strategy"]
            checks.equal(preferred, report["preferred"], f"{name}: the plan that a run prefers")
            checks.equal(predicted["bound"], report["bound"], f"{name}: bound")
            if preferred == "held":
                report = json.loads(plan(*arguments, *more, "--strategy", "held").stdout)
        for key in ("seconds_per_iteration", "sequential_seconds", "overlapped_seconds", "floor_bytes", "distinct_rows_per_iteration"):
            checks.equal(predicted[key], report[key], f"{name}: {key}")
        for key, value in report["bytes_per_iteration"].items():
            said = predicted["bytes_per_iteration"][key]
            checks.equal(said | {"samples": 0} if key == "max" else said, value | {"samples": 0} if key == "max" else value,
                         f"{name}: bytes per iteration, {key}")


def bad_arguments(checks):
    base = ["--topology", topology("dgx-h100")]
    for what, arguments, *said in (
            ("no topology", SMALL, "--topology"),
            ("neither counts nor tables", base, "--counts"),
            ("both", [*base, *SMALL, "--counts", "x"], "--counts"),
            ("a list without a law", [*base, "--tables", "10,20"], "--distribution"),
            ("an unknown law", [*base, *SMALL, "--distribution", "zip:1"], "zip:1"),
            ("an unknown strategy", [*base, *SMALL, "--strategy", "best"], "best", "table_wise"),
            ("an unknown option", [*base, *SMALL, "--quick"], "quick"),
            ("a negative batch", [*base, "--tables", "criteo-kaggle", "--batch", "-1"], "-1"),
            ("a budget without meaning", [*base, *SMALL, "--device-memory", "much"], "--device-memory", "much"),
            ("an unknown wire format", [*base, *SMALL, "--wire", "fp8"], "fp8", "bf16"),
            ("bags for other tables", [*base, *SMALL, "--bag-sizes", "1,2"], "2 numbers for 26 tables"),
            ("a bag that is none", [*base, *SMALL, "--bag-sizes", "1x"], "1x")):
        refused(checks, what, plan(*arguments), *said)


def test(checks, folder):
    text_report(checks)
    every_topology(checks)
    for part in (plan_file, strategies, samples_to_rows, sweeps, counts, training_applies, same_costs, bad_topologies, infeasible):
        (folder / part.__name__).mkdir()
        part(checks, folder / part.__name__)
    bad_arguments(checks)


if __name__ == "__main__":
    harness.main(test)
