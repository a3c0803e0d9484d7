#!/usr/bin/env python3
"""The same training whoever holds the rows and whoever trains the samples: holders by arithmetic or by first use, contiguous parts of a batch or
samples that go to their rows, known one batch or two later, each against arithmetic holders and contiguous parts on the same system. The bounds are
those of the definition of "same training" (20 steps of SGD at learning rate 0.01: losses within 1e-5, parameters within 1e-5 relative); the
same configuration twice, overlapped or sequential, stopped or not, gives the same bits.

    assignment_test.py                  some cases
    assignment_test.py --all            every case (minutes)
    assignment_test.py --only bags,cuda cases whose names have one of these in them
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import time

import harness
import recorded_runs

STEPS, BATCH = 20, 150  # divides by neither 4, 7 nor 8
SGD = {"name": "sgd", "lr": 0.01}
BASE = {
    "data": {"max_rows": 2000, "count_samples": STEPS * BATCH},
    "model": {"embedding_dim": 8, "bottom": [16], "top": [16]},
    "optimizer": {"dense": SGD, "sparse": SGD},
    "train": {"global_batch": BATCH, "samples": STEPS * BATCH, "seed": 5},
    "system": {"backend": "host", "threads": 1, "device_memory": "32MiB"},
    "placement": {"strategy": "held"},
    "output": {"report_every": 1, "resume": "never"},
}
REFERENCE = ("arithmetic", "contiguous", 0)
# Who holds rows, who trains samples, by how many batches late holders are known.
COMBINATIONS = [("first_use", "contiguous", 1), ("first_use", "contiguous", 2), ("arithmetic", "local", 1), ("arithmetic", "local", 2),
                ("first_use", "local", 1), ("first_use", "local", 2)]
BOTH = [("first_use", "local", 1), ("first_use", "local", 2)]
LATE = [("first_use", "local", 2)]
BAGS = {"bag_sizes": [1, 2, 7, 3] * 6 + [1, 20]}


def named(combination):
    holders, assignment, delay = combination
    return f"{holders}, {assignment}" + (f", known {delay} later" if delay else "")


def chosen(combination, ranks):
    holders, assignment, delay = combination
    return {"placement": {"holders": holders, "assignment": assignment, "assignment_delay": min(delay, ranks)}}


def with_plan(plan, combination, ranks, path):
    """The plan file of a combination, where a case has a plan of its own: rows with one copy, in memory, that travel by themselves."""
    holders, assignment, delay = combination
    tables = [dict(table) for table in plan["tables"]]
    for table in tables:
        if holders == "first_use" and table["holder_slot"] < 0 and table["transport"] in ("staged", "direct"):
            table["holders"] = "first_use"
    plan = plan | {"tables": tables}
    if assignment == "local":
        plan["assignment"] = {"delay": min(delay, ranks), "passes": 1}
    path.write_text(json.dumps(plan))
    return {"placement": {"plan": str(path), "strategy": "optimal"}}


class Case:
    """What is trained, on which system; changes to BASE."""

    def __init__(self, ranks, changes=None, combinations=BOTH, system=None, plan=None, twice=True, losses=1e-5, parameters=1e-5):
        self.ranks, self.changes, self.combinations, self.system, self.plan = ranks, changes or {}, combinations, system, plan
        self.twice, self.losses, self.parameters = twice, losses, parameters

    def config(self, data, folder, combination):
        config = harness.merge(harness.merge(BASE, self.changes), {"data": {"train": [str(data)]}})
        if self.system:
            topology = folder / f"{self.system}.yaml"
            topology.write_text(recorded_runs.SYSTEMS[self.system][1])
            config = harness.merge(config, {"system": {"topology": str(topology)}})
        config = harness.merge(config, chosen(combination, self.ranks))
        if self.plan:
            path = folder / ("plan_" + "_".join(map(str, combination)) + ".json")
            config = harness.merge(config, with_plan(self.plan, combination, self.ranks, path))
        return config


def mixed(system, transports=("staged",), fixed=0, fetched=True, copies=False, shares=None):
    """A plan with replicated, held and offloaded rows, or with copies at every level."""
    rows = recorded_runs.copies(system) if copies else recorded_runs.mixed(system, fetched=fetched)
    plan = recorded_runs.plan_file(system, rows, transports, fixed) | {"global_batch": BATCH}
    return plan | ({"batch_shares": shares} if shares else {})


PLANNED = {"data": {"max_rows": recorded_runs.ROWS}}
CASES = {f"{ranks} ranks": Case(ranks, combinations=COMBINATIONS if ranks in (1, 3, 4, 8) else BOTH, twice=ranks in (3, 8)) for ranks in range(1, 9)}
CASES |= {
    "2 x 2": Case(4, system="2x2", combinations=COMBINATIONS),
    "2 x 2, not combined": Case(4, {"placement": {"strategy": "row_wise", "combine": False}}, system="2x2"),
    "3 + 1 with a server": Case(4, {"train": {"batch_shares": [1, 1, 1, 0]}}, system="3+1", combinations=COMBINATIONS),
    "1 + 2 + 1, unequal shares": Case(4, {"train": {"batch_shares": [3, 0, 1, 1]}}, system="3+1"),
    "overlapped": Case(3, {"system": {"pipeline": "overlapped"}}, COMBINATIONS),
    "overlapped, 2 x 2": Case(4, {"system": {"pipeline": "overlapped"}}, system="2x2"),
    "Adagrad": Case(3, {"optimizer": {"dense": {"name": "adagrad", "lr": 0.02, "initial_accumulator": 0.01},
                                      "sparse": {"name": "rowwise_adagrad", "lr": 0.02, "initial_accumulator": 0.01}}}),
    "bags": Case(3, {"data": BAGS}, COMBINATIONS),
    "bags, overlapped, 2 x 2": Case(4, {"data": BAGS, "system": {"pipeline": "overlapped"}}, system="2x2"),
    "shuffled": Case(3, {"data": {"shuffle_window": 700}}, COMBINATIONS),
    "two passes": Case(3, {"train": {"samples": 0, "epochs": 2}, "data": {"shuffle_window": 500}, "output": {"report_every": 3}},
                       parameters=1e-4),
    "evaluated and saved on the way": Case(4, {"data": {"eval_tail": 500}, "train": {"eval_every": 4 * BATCH}, "output": {"checkpoint_every": 3 * BATCH}}),
    "evaluated and saved on the way, overlapped": Case(4, {"data": {"eval_tail": 500}, "train": {"eval_every": 4 * BATCH},
                                                           "system": {"pipeline": "overlapped"}, "output": {"checkpoint_every": 3 * BATCH}}, LATE),
    "offloaded": Case(2, PLANNED, COMBINATIONS, system="two", plan=mixed("two")),
    "offloaded, 2 x 2, overlapped": Case(4, PLANNED | {"system": {"pipeline": "overlapped"}}, system="2x2", plan=mixed("2x2", ("staged", "direct"))),
    "fetched": Case(2, {"placement": {"strategy": "fetched"}}),
    "pooled": Case(4, {"data": PLANNED["data"] | BAGS}, COMBINATIONS, system="four",
                   plan=mixed("four", ("pooled", "staged", "direct"), fixed=5, fetched=False)),
    "copies at every level, 2 x 2": Case(4, PLANNED, COMBINATIONS, system="2x2", plan=mixed("2x2", copies=True)),
    "copies at every level, 3 + 1": Case(4, PLANNED, system="3+1", plan=mixed("3+1", ("staged", "direct"), copies=True)),
    # Rounded partial sums depend on who adds what: bf16 keeps 8 bits, a row's gradient is some 1e-3 of the parameter it changes.
    "bf16 wires": Case(4, {"system": {"wire": "bf16"}}, losses=1e-4, parameters=2e-3),
    "bf16 wires, overlapped, bags, 2 x 2": Case(4, {"system": {"wire": "bf16", "pipeline": "overlapped"}, "data": BAGS}, system="2x2", losses=1e-4,
                                                parameters=2e-3),
    "table-wise": Case(3, {"placement": {"strategy": "table_wise"}}),
    "replicated": Case(3, {"placement": {"strategy": "replicated"}}),
    "hot and cold": Case(4, {"placement": {"strategy": "hot_cold"}}, system="2x2"),
    "four threads": Case(2, {"system": {"threads": 4}}),
    "batches smaller than the ranks": Case(7, {"train": {"global_batch": 5, "samples": 100}}, COMBINATIONS),
    "cuda, 2 ranks": Case(2, PLANNED | {"system": {"backend": "cuda"}, "train": {"samples": 6 * BATCH}}, system="two", plan=mixed("two")),
    "cuda, 2 x 2": Case(4, {"data": PLANNED["data"] | BAGS, "system": {"backend": "cuda", "pipeline": "overlapped"}, "train": {"samples": 4 * BATCH}},
                        LATE, system="2x2", plan=mixed("2x2", ("staged", "direct"))),
}
SOME = ["1 ranks", "3 ranks", "2 x 2", "3 + 1 with a server", "overlapped, 2 x 2", "offloaded", "pooled", "evaluated and saved on the way",
        "batches smaller than the ranks", "cuda, 2 ranks"]


def train(case, data, folder, combination, name, changes=None):
    place = folder / ("_".join(map(str, combination)) + name)
    return harness.train(harness.merge(case.config(data, folder, combination), changes or {}), place, case.ranks)


def largest(run, expected):
    if run.losses.keys() != expected.keys():
        return float("nan")
    return max(abs(run.losses[step] - expected[step]) for step in expected)


def check_same(checks, case, run, expected, arrays, what):
    checks.at_most(largest(run, expected.losses), case.losses, f"{what}: losses")
    difference = harness.relative_difference(harness.read_checkpoint(run.checkpoint), arrays)
    checks.at_most(difference, case.parameters, f"{what}: parameters")
    if "eval" in expected.summary:
        checks.at_most(abs(run.auc - expected.auc), 1e-3, f"{what}: AUC")


def check_case(checks, name, case, data, folder):
    folder.mkdir(parents=True)
    expected = train(case, data, folder, REFERENCE, "")
    arrays = harness.read_checkpoint(expected.checkpoint)
    checks.at_least(len(expected.losses), 2, f"{name}: losses recorded")
    done = set()
    for combination in case.combinations:
        combination = (*combination[:2], min(combination[2], case.ranks))
        if combination in done:
            continue
        done.add(combination)
        what = f"{name}: {named(combination)}"
        run = train(case, data, folder, combination, "")
        check_same(checks, case, run, expected, arrays, what)
        if case.twice and combination == case.combinations[-1]:
            other = {"system": {"pipeline": "sequential"}} if "overlapped" in name else {}
            again = train(case, data, folder, combination, "_again", other)
            checks.that(again.losses == run.losses, f"{what}: the same losses again{', sequentially' if other else ''}, to the bit")
            checks.that(harness.same_bytes(again.checkpoint, run.checkpoint), f"{what}: the same bytes again")


# --- Stopping and going on -----------------------------------------------------------------------------------------------


def ranks_in(directory):
    """Process ids of a run's ranks, and of its mpirun."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"output.dir={directory}".encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def stop_at(config, directory, ranks, step, number):
    """Starts a run and sends a signal once it has recorded this step: SIGKILL to all of it, another one to mpirun."""
    started = harness.start(config, directory, ranks)
    metrics = directory / "metrics.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and started.process.poll() is None:
        if metrics.exists() and metrics.read_text().count('"loss"') >= step:
            break
        time.sleep(0.005)
    for process in ranks_in(directory) if number == signal.SIGKILL else [started.process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    return started.finish(60)


def as_it_was(directory, checkpoint, copy):
    """A copy of a run's folder as it was when it had written this checkpoint and no later one."""
    shutil.copytree(directory, copy)
    for later in (copy / "checkpoints").iterdir():
        if later.name > checkpoint.name:
            shutil.rmtree(later)
    return copy


RESUMED = {
    "in order": (3, {}, None),
    "shuffled, overlapped, bags": (4, {"data": {"shuffle_window": 700} | BAGS, "system": {"pipeline": "overlapped"}}, None),
    "2 x 2": (4, {}, "2x2"),
    "3 + 1 with a server": (4, {"train": {"batch_shares": [1, 1, 1, 0]}}, "3+1"),
}


PASSES = 3


def check_resumed(checks, name, data, folder, combination):
    """Killed and continued; stopped and continued; from a checkpoint on the way; on other numbers of ranks; from its weights alone."""
    ranks, changes, system = RESUMED[name]
    case = Case(ranks, harness.merge({"train": {"samples": 0, "epochs": PASSES}, "data": {"eval_tail": 300}}, changes), system=system)
    folder.mkdir(parents=True)
    what = f"resumed, {name}, {named(combination)}"
    saving = {"output": {"checkpoint_every": 7 * BATCH, "keep": 50}}
    whole = train(case, data, folder, combination, "_whole", saving)
    checkpoints = sorted((whole.directory / "checkpoints").iterdir())
    checks.at_least(len(checkpoints), 9, f"{what}: checkpoints")

    own = harness.merge(case.config(data, folder, combination), harness.merge(saving, {"output": {"resume": "auto"}}))
    for done, number, step in (("killed", signal.SIGKILL, 16), ("stopped on request", signal.SIGUSR1, 33)):
        directory = folder / done.split()[0]
        stopped = stop_at(own, directory, ranks, step, number)
        checks.that(not stopped.timed_out and not (directory / "summary.json").exists(), f"{what}: {done} on the way")
        rest = harness.train(own, directory, ranks)
        checks.that(rest.losses == whole.losses, f"{what}: {done} and continued, the same losses to the bit")
        checks.that(harness.same_bytes(rest.checkpoint, whole.checkpoint), f"{what}: {done} and continued, the same bytes")
    for i in (0, 2, 3, 4, len(checkpoints) - 2):  # in the middle of a pass, near its end, in another one, at the end
        middle = checkpoints[i]
        rest = train(case, data, folder, combination, f"_from_{middle.name}", {"output": {"resume": str(middle)}})
        checks.that(harness.same_bytes(rest.checkpoint, whole.checkpoint), f"{what}: continued from {middle.name}, the same bytes")
    if system is None:
        check_continued_otherwise(checks, what, case, data, folder, combination, whole, checkpoints[1])


def check_continued_otherwise(checks, what, case, data, folder, combination, whole, middle):
    arrays = harness.read_checkpoint(whole.checkpoint)
    resume = {"output": {"resume": str(middle)}}
    plain = train(case, data, folder, REFERENCE, "_plain", resume)
    others = {f"on {n} ranks": train(Case(n, case.changes), data, folder, combination, f"_on_{n}", resume) for n in (1, 2, 5, 8)}
    for name, rest in (others | {"with arithmetic holders and contiguous parts": plain}).items():
        difference = harness.relative_difference(harness.read_checkpoint(rest.checkpoint), arrays)
        checks.at_most(difference, 1e-4, f"{what}: continued {name}: parameters")
        checks.at_most(abs(rest.auc - whole.auc), 1e-3, f"{what}: continued {name}: AUC")
    init = {"train": {"init": str(middle)}}
    weights, expected = (train(case, data, folder, c, "_weights", init) for c in (combination, REFERENCE))
    check_same(checks, Case(case.ranks, parameters=1e-4), weights, expected, harness.read_checkpoint(expected.checkpoint), f"{what}: from these weights")
    longer = {"train": {"epochs": PASSES + 1}}
    for start, back in (("plain", plain.checkpoint), ("5 ranks", others["on 5 ranks"].checkpoint)):
        found, expected = (train(case, data, folder, c, "_more_" + start, harness.merge(longer, {"output": {"resume": str(back)}}))
                           for c in (combination, REFERENCE))
        check_same(checks, case, found, expected, harness.read_checkpoint(expected.checkpoint), f"{what}: and on from where {start} ended")


# --- Re-planning ---------------------------------------------------------------------------------------------------------


REPLANNED = {"sequential": {}, "overlapped": {"system": {"pipeline": "overlapped"}}}


def check_replanned(checks, name, data, folder, combination):
    """From a plan that another one beats, so that rows move between copies and holders; the same without re-planning."""
    system = "2x2"
    plan = recorded_runs.plan_file(system, [recorded_runs.option(system, 0), recorded_runs.option(system, 2, "dense")]) | {"global_batch": BATCH}
    changes = {"data": PLANNED["data"], "train": {"samples": 0, "epochs": 6}, "output": {"report_every": 1, "checkpoint_every": 25 * BATCH, "keep": 50}}
    case = Case(4, harness.merge(changes, REPLANNED[name]), system=system, plan=plan)
    folder.mkdir(parents=True)
    what = f"re-planned, {name}, {named(combination)}"
    expected = train(case, data, folder, REFERENCE, "_fixed")
    asked = {"placement": {"replan_every": 20 * BATCH}}
    run = train(case, data, folder, combination, "", asked)
    replanning = run.summary["replanning"]
    checks.at_least(sum(question["replan"]["changes"] for question in replanning["questions"]), 1, f"{what}: changes of the plan")
    checks.at_least(replanning["sent_rows"], 1, f"{what}: rows moved")
    checks.at_most(largest(run, expected.losses), 1e-5, f"{what}: losses")
    difference = harness.relative_difference(harness.read_checkpoint(run.checkpoint), harness.read_checkpoint(expected.checkpoint))
    checks.at_most(difference, 1e-4, f"{what}: parameters")
    again = train(case, data, folder, combination, "_again", asked)
    checks.that(harness.same_bytes(again.checkpoint, run.checkpoint), f"{what}: the same bytes again")
    for middle in sorted((run.directory / "checkpoints").iterdir())[:-1]:
        copy = as_it_was(run.directory, middle, folder / f"rest_of_{middle.name}")
        config = harness.merge(harness.merge(case.config(data, folder, combination), asked), {"output": {"resume": "auto"}})
        rest = harness.train(config, copy, case.ranks)
        checks.that(harness.same_bytes(rest.checkpoint, run.checkpoint), f"{what}: continued from {middle.name}, the same bytes")
        checks.that(rest.losses == run.losses, f"{what}: continued from {middle.name}, the same losses")


# --- All -----------------------------------------------------------------------------------------------------------------


def every():
    """name -> what checks it."""
    result = {name: (lambda checks, data, folder, name=name, case=case: check_case(checks, name, case, data, folder)) for name, case in CASES.items()}
    for name in RESUMED:
        result[f"resumed, {name}"] = lambda checks, data, folder, name=name: [
            check_resumed(checks, name, data, folder / str(i), c) for i, c in enumerate([*LATE, ("first_use", "contiguous", 1)][: 1 if RESUMED[name][2] else 2])]
    for name in REPLANNED:
        result[f"re-planned, {name}"] = lambda checks, data, folder, name=name: [
            check_replanned(checks, name, data, folder / str(i), c) for i, c in enumerate([*LATE, ("first_use", "contiguous", 1)])]
    return result


def selected(names):
    if "--only" in sys.argv:
        wanted = sys.argv[sys.argv.index("--only") + 1].split(",")
        return [name for name in names if any(part in name for part in wanted)]
    return names if "--all" in sys.argv else [name for name in names if name in SOME or name == "resumed, in order"]


def why_no_gpu():
    build = pathlib.Path(harness.PROGRAM).resolve().parent
    there = (build / "libsparrow_nccl.so").exists() and (build / "test/cuda_emulator/libnccl.so.2").exists()
    return "" if there else "a build without CUDA, NCCL or the emulated GPU"


def test(checks, folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(3400))
    checked = every()
    for i, name in enumerate(selected(list(checked))):
        if not name.startswith("cuda"):
            checked[name](checks, data, folder / str(i))
        elif why_no_gpu():
            print(f"skipped {name}: {why_no_gpu()}", flush=True)
        else:
            with recorded_runs.emulated_gpu(pathlib.Path(harness.PROGRAM).resolve().parent):
                checked[name](checks, data, folder / str(i))


if __name__ == "__main__":
    harness.main(test)
