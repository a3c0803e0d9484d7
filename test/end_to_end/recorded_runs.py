#!/usr/bin/env python3
"""What a build computes, and whether another computes the same: small runs with fixed topologies and plans.

    recorded_runs.py BUILD --out FILE.json        records what a build computes
    recorded_runs.py OLD NEW                      compares; each is a build or a file recorded on this machine

A build is its folder or its `sparrow`. Nothing that is recorded depends on the clock or on measured rates: losses, sums of the
bytes of every parameter and optimiser state, evaluation, counted bytes, what the theory predicts, and all that `plan`
prints. Compilers and processors round differently, so no record is kept in the repository. Options and exit codes: --help.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from python_packages import require

require("numpy")
import harness

# --- Systems and plans ---------------------------------------------------------------------------------------------------

HEAD = """name: recorded
links: {wire: {bandwidth: 1GB/s, latency: 10us, overhead: 1us}, network: {bandwidth: 100MB/s, latency: 50us, overhead: 5us}}
stores: {memory: {capacity: 32MiB}, slower: {capacity: 64MiB, bandwidth: 10GB/s, latency: 1us}}
domains:
  - {name: system}
"""
RANK = ("  - {{name: {}, parent: {}, count: {}, links: [wire], stores: [memory, slower], flops: 10Gflop/s,\n"
        "     work: {{hash: 100M/s, gather: 1GB/s, pack: 1GB/s, update: 1GB/s}}}}\n")
NODE = "  - {{name: {}, parent: system, count: {}, links: [network]}}\n"


def flat(ranks):
    return HEAD + RANK.format("rank", "system", ranks)


# name: ranks, text; domains are numbered in the order of the text
SYSTEMS = {
    "two": (2, flat(2)),
    "three": (3, flat(3)),
    "four": (4, flat(4)),
    "2x2": (4, HEAD + NODE.format("node", 2) + RANK.format("rank", "node", 2)),
    "3+1": (4, HEAD + NODE.format("big", 1) + NODE.format("small", 1) + RANK.format("rank", "big", 3) + RANK.format("lone", "small", 1)),
}
BATCH = 100
ROWS = [3, 10, 40, 400, 2000] * 5 + [7]
RANK_TYPES = {"two": ["rank"], "three": ["rank"], "four": ["rank"], "2x2": ["node/rank"], "3+1": ["big/rank", "small/lone"]}


def option(system, level, reduction="sparse", store="memory", whole=0):
    """An option of a plan file: copies on all ranks of each domain of `level`; of the system, on the ranks of type `whole`."""
    types = RANK_TYPES[system]
    first = {"two": 1, "three": 1, "four": 1, "2x2": 2, "3+1": 3}[system]  # number of the first type of rank
    chosen = range(len(types)) if level > 0 else [whole]
    sites = [{"domain": first + i, "store": ("memory", "slower").index(store), "name": f"system/{types[i]}:{store}"} for i in chosen]
    return {"level": level, "reduction": reduction, "sites": sites}


def plan_file(system, options, transports=("staged",), fixed=0):
    """A plan that gives each option a part of every table, the first option the most frequent rows. Tables take transports in turn.
    fixed: each table whose number it divides is held whole by one rank."""
    tables = []
    for t, rows in enumerate(ROWS):
        whole = fixed > 0 and t % fixed == 0
        share = len(options)
        bounds = [0] + [min(rows, rows * (i + 1) ** 2 // share**2) for i in range(share)]
        parts = [[a, b, i] for i, (a, b) in enumerate(zip(bounds, bounds[1:])) if a < b]
        held = [[0, rows, next(i for i, o in enumerate(options) if o["level"] == 0)]] if whole else parts
        tables.append({"name": f"C{t + 1}", "rows": rows, "transport": transports[t % len(transports)], "deduplicated": True,
                       "partial_sums": False, "offset": t % 3, "holder_slot": t % 2 if whole else -1, "slices": [],
                       "intervals": held, "exceptions": []})
    ranks = SYSTEMS[system][0]
    return {"format": "sparrow-plan", "version": 1, "strategy": "optimal", "topology": "recorded", "global_batch": BATCH,
            "batch_shares": [1 / ranks] * len(RANK_TYPES[system]), "options": options, "tables": tables}


def mixed(system, depth=1, fetched=True):
    """Replicated, held and, with `fetched`, fetched rows."""
    options = [option(system, depth, "dense"), option(system, depth), option(system, 0)]
    return options + ([option(system, 0, store="slower")] if fetched else [])


def copies(system):
    """Copies at every level, kept equal in both ways, in both stores."""
    more = [option(system, 1, "dense"), option(system, 1), option(system, 1, store="slower"), option(system, 0)]
    return [option(system, 2, "dense"), option(system, 2)] + more


# --- Configurations ------------------------------------------------------------------------------------------------------

BASE = {
    "data": {"max_rows": ROWS, "count_samples": 2000, "eval_tail": 500},
    "model": {"embedding_dim": 8, "bottom": [24], "top": [24, 12]},
    "optimizer": {"sparse": {"name": "rowwise_adagrad", "lr": 0.02}},
    "train": {"global_batch": BATCH, "samples": 30 * BATCH, "seed": 5},
    "system": {"backend": "host", "threads": 1, "pipeline": "sequential", "device_memory": "32MiB"},
    "output": {"report_every": 1, "resume": "never"},
}
BAGS = {"bag_sizes": [1, 2, 7, 3] * 6 + [1, 20]}
STAGED_AND_DIRECT = ("staged", "staged", "direct")
BF16 = {"precision": "bf16", "wire": "bf16"}
OVERLAPPED = {"pipeline": "overlapped"}
ADAGRAD = {"sparse": {"name": "adagrad", "lr": 0.02}}
SGD = {"dense": {"name": "sgd", "lr": 0.1}, "sparse": {"name": "sgd", "lr": 0.1}}
STAR = {"data": {"split": "ranks"}, "train": {"batch_shares": [0, 1, 1, 1], "eval_every": 1000}, "system": OVERLAPPED}


def strategy(name, deduplicate=True, combine=True, **more):
    return {"placement": {"strategy": name, "deduplicate": deduplicate, "combine": combine}, **more}


# name: system, changes to BASE, plan file or None
RUNS = {
    "held_three": ("three", strategy("held", system={"threads": 2}), None),
    "table_wise_undeduplicated": ("two", strategy("table_wise", deduplicate=False, data=BAGS), None),
    "table_wise_undeduplicated_3+1": ("3+1", strategy("table_wise", deduplicate=False), None),
    "row_wise_undeduplicated": ("2x2", strategy("row_wise", deduplicate=False, data=BAGS), None),
    "fetched_undeduplicated": ("two", strategy("fetched", deduplicate=False, data=BAGS), None),
    "optimal": ("2x2", strategy("optimal", data=BAGS), None),
    "pooled_bags": ("four", {"data": BAGS}, plan_file("four", mixed("four", fetched=False), ("pooled", "staged", "direct"), fixed=5)),
    "copy_levels_2x2": ("2x2", {}, plan_file("2x2", copies("2x2"))),
    "copy_levels_3+1": ("3+1", {}, plan_file("3+1", copies("3+1"))),
    "replicated": ("four", strategy("replicated"), None),
    "row_wise_not_combined": ("2x2", strategy("row_wise", combine=False, optimizer=SGD), None),
    "hot_cold": ("2x2", strategy("hot_cold", data={"shuffle_window": 700}), None),
    "fetched_from_disk": ("two", strategy("fetched", optimizer=ADAGRAD), None),
    "overlapped": ("2x2", {"data": BAGS, "system": OVERLAPPED}, plan_file("2x2", mixed("2x2", 2), STAGED_AND_DIRECT, fixed=6)),
    "replanned": ("2x2", {"train": {"samples": 240 * BATCH, "epochs": 8}, "placement": {"replan_every": 80 * BATCH}},
                  plan_file("2x2", [option("2x2", 0), option("2x2", 2, "dense")])),
    "bf16": ("2x2", {"data": BAGS, "system": BF16}, plan_file("2x2", copies("2x2"), ("staged", "pooled", "direct"))),
    "star": ("star", strategy("held") | STAR, None),
    "resumed": ("three", {"system": OVERLAPPED}, plan_file("three", mixed("three"))),
    "cuda": ("two", {"train": {"samples": 8 * BATCH}}, plan_file("two", mixed("two"))),
    "cuda_bf16_overlapped": ("2x2", {"data": BAGS, "train": {"samples": 4 * BATCH}, "system": BF16 | OVERLAPPED},
                             plan_file("2x2", copies("2x2"), ("staged", "pooled", "direct"))),
}
# name: topology, arguments of `sparrow plan`
PLANS = {
    "plan_node": ("dgx-h100", "--tables criteo-terabyte --dim 128 --batch 65536"),
    "plan_node_short_memory": ("dgx-h100", "--tables criteo-terabyte --dim 128 --batch 4096 --device-memory 20GB"),
    "plan_cluster_multi_hot": ("dgx-h100-x16", "--tables criteo-terabyte --dim 64 --batch 65536 --bag-sizes multi-hot --wire bf16"),
    "plan_ethernet_overlapped": ("ethernet-16", "--tables criteo-kaggle --dim 16 --batch 2048 --pipeline overlapped"),
    "plan_star": ("star-1-3", "--tables 1000,25x1e5 --distribution zipf:1.1 --dim 16 --batch 4096 --no-combine --batch-shares planned"),
    "plan_unequal_bags": ("unequal-ranks", "--tables 26x1e6 --distribution zipf:1.05 --bag-sizes 4 --dim 128 --batch 16384"),
    "plan_uniform": ("dgx-h100-x16", "--tables 10,1000,24x1e7 --distribution uniform --bag-sizes 2 --dim 32 --batch 8192 --optimizer adagrad"),
}
OTHERS = ("generated", "counted")
NAMES = [*RUNS, *PLANS, *OTHERS]

# --- Recording -----------------------------------------------------------------------------------------------------------

MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_pml": "ob1",
       "OMPI_MCA_btl": "self,vader,tcp", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
COUNTED = ("eval", "bytes_per_iteration", "bytes_by_stage", "store_bytes_per_iteration", "distinct_rows_per_iteration",
           "lookups_per_iteration", "samples", "steps", "predicted")


class Failed(Exception):
    """A run or plan that ended with an error."""


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def call(*command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    if result.returncode != 0:
        raise Failed(last_lines(result.stderr))
    return result.stdout


def last_lines(text):
    """Of what a failed run printed: what the program says, else the end."""
    lines = [line for line in text.splitlines() if line.strip()]
    return " | ".join([line for line in lines if line.startswith("sparrow ")][:2] or lines[-3:]) or "no message"


def in_common_terms(plan):
    """A plan with one field, `transport`, for how rows travel, where earlier builds had three, and without their lists that stayed empty."""
    for table in plan["tables"]:
        deduplicated, partial_sums = table.pop("deduplicated", True), table.pop("partial_sums", False)
        table["transport"] = "partial_sums" if partial_sums else table["transport"] if deduplicated else "pooled"
        for key in ("slices", "exceptions"):
            if table.get(key) == []:
                del table[key]
    return plan


def in_own_terms(plan, folder):
    """The plan with the fields that the build's plan files have: it may have dropped some that are neutral here."""
    own = folder / "own_plan.json"
    if not own.exists():
        (folder / "two.yaml").write_text(flat(2))
        call(harness.PROGRAM, "plan", "--topology", folder / "two.yaml", "--tables", "2x100", "--distribution", "zipf:1", "--dim", 8,
             "--batch", BATCH, "--out", own)
    form = json.loads(own.read_text())
    table = form["tables"][0].keys()
    neutral = {"deduplicated": True, "partial_sums": False, "slices": [], "exceptions": []}
    for t in plan["tables"]:
        lost = [key for key, value in t.items() if key not in table and neutral.get(key) != value]
        if lost:
            raise Failed(f"plan files of this build have no {', '.join(lost)}")
    return plan | {"tables": [{key: value for key, value in t.items() if key in table} for t in plan["tables"]]}


def train(config, folder, ranks):
    run = harness.run(config, folder, ranks, timeout=120)
    if run.code != 0:
        raise Failed("no end within 120 s" if run.timed_out else last_lines(run.errors))
    return run


def record_run(name, data, folder):
    system, changes, plan = RUNS[name]
    topology = harness.REPOSITORY / "configs/topologies/star-1-3.yaml"
    ranks = 4
    if system != "star":
        ranks, text = SYSTEMS[system]
        topology = folder / f"{name}_topology.yaml"
        topology.write_text(text)
    config = harness.merge(BASE, changes)
    config = harness.merge(config, {"data": {"train": [str(data)]}, "system": {"topology": str(topology)}})
    if plan:
        path = folder / f"{name}_plan.json"
        path.write_text(json.dumps(in_own_terms(plan, folder)))
        config = harness.merge(config, {"placement": {"plan": str(path)}})
    if name.startswith("cuda"):
        config = harness.merge(config, {"system": {"backend": "cuda"}})
    if name == "resumed":
        config = harness.merge(config, {"output": {"resume": "auto"}})
        train(harness.merge(config, {"train": {"samples": 12 * BATCH}}), folder / name, ranks)
    run = train(config, folder / name, ranks)
    arrays = harness.read_checkpoint(run.checkpoint)
    record = {"losses": {str(step): loss for step, loss in run.losses.items()},
              "parameters": {key: sum_of(values.tobytes()) for key, values in sorted(arrays.items())}}
    other = [{k: v for k, v in r.items() if "second" not in k} for r in run.records if "loss" not in r]
    counted = {key: run.summary.get(key) for key in COUNTED}
    if config["system"]["pipeline"] == "overlapped":
        del counted["store_bytes_per_iteration"]  # a row that comes again is read or still there, as the lanes happen to meet
    return record | {"other_records": other} | counted


def record_plan(name, folder):
    topology, arguments = PLANS[name]
    out = folder / f"{name}.json"
    path = harness.REPOSITORY / "configs/topologies" / f"{topology}.yaml"
    text = call(harness.PROGRAM, "plan", "--topology", path, *arguments.split(), "--json", "--out", out)
    return {"plan --json": json.loads(text), "plan file": in_common_terms(json.loads(out.read_text()))}


def record_other(name, data, folder):
    out = folder / name
    if name == "counted":
        call(harness.PROGRAM, "count", data, "--out", out, "--max-rows", 500)
    else:
        for form in ("tsv", "npy"):
            call(harness.PROGRAM, "generate", "--out", out / form, "--samples", 2000, "--shards", 2, "--format", form, "--threads", 1)
    files = sorted(path for path in out.rglob("*") if path.suffix in (".tsv", ".npy"))
    return {"files": {str(path.relative_to(out)): sum_of(path.read_bytes()) for path in files}}


@contextlib.contextmanager
def emulated_gpu(build):
    chosen = {"LD_LIBRARY_PATH": f"{build / 'test/cuda_emulator'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
              "CUDA_EMULATOR_MEMORY": "134217728", "CUDA_EMULATOR_DEVICES": "4", "CUDA_EMULATOR_SEED": "7"}
    before = dict(os.environ)
    os.environ.update(chosen)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def record_one(name, build, data, folder):
    if name in PLANS:
        return record_plan(name, folder)
    if name in OTHERS:
        return record_other(name, data, folder)
    if not name.startswith("cuda"):
        return record_run(name, data, folder)
    if not ((build / "libsparrow_nccl.so").exists() and (build / "test/cuda_emulator/libnccl.so.2").exists()):
        return {"not there": "a build without CUDA, NCCL or the emulated GPU"}
    with emulated_gpu(build):
        return record_run(name, data, folder)


def record(build, names=NAMES):
    """{name: what was computed}, or {name: {"failed": why}}."""
    build = pathlib.Path(build).resolve()
    program = build / "sparrow" if build.is_dir() else build
    if not program.is_file():
        raise SystemExit(f"{program}: no such program")
    harness.PROGRAM = str(program)
    for key, value in MPI.items():
        os.environ.setdefault(key, value)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sparrow_recorded_runs_"))
    records = {}
    try:
        data = harness.write_lines(folder / "rows.tsv", harness.make_lines(4000))
        for name in names:
            try:
                records[name] = record_one(name, program.parent, data, folder)
            except Failed as failure:
                records[name] = {"failed": str(failure).replace(f"{folder}/", "")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return json.loads(json.dumps(records))  # as a file has them


# --- Comparing -----------------------------------------------------------------------------------------------------------

ABSENT = "absent"
SHOWN = 6  # differences of one part of a record


def leaves(value, path=()):
    """{path: number, text or truth}. Members of lists are named by their name, where they have different ones: one more does not
    shift the others."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        keys = [next((m[k] for k in ("name", "store", "resource") if k in m), None) if isinstance(m, dict) else None for m in value]
        named = None not in keys and len(set(keys)) == len(keys)
        items = [(f"[{keys[i] if named else i}]", member) for i, member in enumerate(value)]
    else:
        return {path: value}
    result = {} if items else {path: value}
    for key, member in items:
        result |= leaves(member, (*path, str(key)))
    return result


def differences(old, new):
    """[(path, old value, new value)] of two records of one configuration."""
    old, new = leaves(old), leaves(new)
    paths = [*old, *(path for path in new if path not in old)]
    pairs = [(path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in paths]
    return [(path, a, b) for path, a, b in pairs if type(a) is not type(b) or a != b]


def short(value):
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "..."


def compare(old, new, show_all=False):
    """(lines to print, whether all that both have is the same). A configuration that failed is never the same."""
    lines, same = [], True
    for name in [*old, *(name for name in new if name not in old)]:
        a, b = old.get(name, {"failed": "not recorded"}), new.get(name, {"failed": "not recorded"})
        failed = [f"{who} failed: {record['failed']}" for who, record in (("OLD", a), ("NEW", b)) if "failed" in record]
        missing = [f"{who} is {record['not there']}" for who, record in (("OLD", a), ("NEW", b)) if "not there" in record]
        found = [] if failed or missing else differences(a, b)
        verdict = "FAILED" if failed else "not compared" if missing else f"DIFFERS, {len(found)} values" if found else "same bits"
        same = same and not failed and not found
        lines += [f"{name:30} {verdict}", *(f"    {text}" for text in [*failed, *missing])]
        by_part = {}
        for path, before, after in found:
            by_part.setdefault(path[0], []).append(f"    {'.'.join(path).replace('.[', '[')}: {short(before)} -> {short(after)}")
        for part, texts in by_part.items():
            shown = texts if show_all else texts[:SHOWN]
            rest = len(texts) - len(shown)
            lines += shown + ([f"    ... {rest} more of {part} (--all shows them)"] if rest else [])
    return lines, same


def load(source, names):
    path = pathlib.Path(source)
    if path.suffix != ".json":
        return record(source, names)
    records = json.loads(path.read_text())
    return {name: records[name] for name in names if name in records}


def main():
    parser = argparse.ArgumentParser(
        prog="compare_builds.sh", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compares what two builds compute, to the bit, or records what one computes.",
        epilog="exit codes: 0 the same, 1 something differs or failed, 2 wrong arguments\nconfigurations: " + ", ".join(NAMES))
    parser.add_argument("old", metavar="OLD", help="a build folder, its sparrow, or a FILE.json recorded on this machine")
    parser.add_argument("new", metavar="NEW", nargs="?", help="likewise")
    parser.add_argument("--only", metavar="A,B", help="these configurations alone")
    parser.add_argument("--all", action="store_true", help=f"show every difference, not the first {SHOWN} of each part")
    parser.add_argument("--out", metavar="FILE", help="write what NEW (OLD, where it is the only one) computes")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"no configuration {', '.join(unknown)}: there are {', '.join(NAMES)}")
    if not arguments.new and not arguments.out:
        parser.error("one build alone needs --out FILE")
    old = load(arguments.old, names)
    new = load(arguments.new, names) if arguments.new else old
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps(new, indent=1))
    if not arguments.new:
        failed = [f"{name}: {record['failed']}" for name, record in old.items() if "failed" in record]
        print(f"{len(old) - len(failed)} of {len(old)} configurations recorded", *failed, sep="\n")
        sys.exit(1 if failed else 0)
    lines, same = compare(old, new, arguments.all)
    print("\n".join(lines))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
