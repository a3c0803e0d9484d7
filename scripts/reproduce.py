#!/usr/bin/env python3
"""Measures this project's main results on emulated clusters, as sweeps: tables, figures and a report.

    sudo scripts/reproduce.py                        # an hour or two on two cores
    sudo scripts/reproduce.py --quick                # minutes: the same sections with few runs and iterations
    sudo scripts/reproduce.py --only strategies --resume
    sudo scripts/reproduce.py --set 'data.train=[/path/to/sample.tsv.gz]' --set data.generate={}    # on your rows

Sections: strategies (over link rates, dimensions and wires), memory, skew, two_tier, links (the ledger against counters of the links), federated,
overlap (pairs of overlapped and sequential runs), goal (the optimal plan against the usual systems on slow links), assignment (samples that go to their
rows: medians of repeats).
Each has a folder in runs/reproduce with results.csv and figures; report.md sums them up and says what is measured and what is emulated. Needs root.
"""
from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable

from python_packages import require

require("yaml", "matplotlib")

from plot_runs import Row, number, read_csv  # noqa: E402
from sparrow_runs import ROOT, format_table  # noqa: E402
from sweep import add_options, guarded, load, run_sweep  # noqa: E402
from sweep_file import Launcher, Sweep, SweepError  # noqa: E402

FOUR_HOSTS = Launcher("emulate_cluster", hosts=4, rates=["100mbit"])
SECTIONS: dict[str, tuple[str, Launcher | None]] = {  # a sweep file, and where it is run if not where it says
    "strategies": ("configs/reproduce/strategies.yaml", None),
    "memory": ("configs/sweeps/memory.yaml", FOUR_HOSTS),
    "skew": ("configs/sweeps/skew.yaml", FOUR_HOSTS),
    "two_tier": ("configs/reproduce/two_tier.yaml", None),
    "links": ("configs/reproduce/links.yaml", None),
    "federated": ("configs/reproduce/federated.yaml", None),
    "overlap": ("configs/reproduce/overlap.yaml", None),
    "goal": ("configs/reproduce/goal.yaml", None),
    "assignment": ("configs/reproduce/assignment.yaml", None),
}

HONESTY = """**Measured**: samples per second, seconds and AUC of real training runs (`summary.json`) and the bytes that ranks sent, as they counted them.
**Read from the links**: bytes that the interfaces of the hosts counted. **Predicted**: what the cost model said before the run, with rates it measured
at its start. **Emulated**: the hosts, which are network namespaces of one machine and share its processors and memory, and the rates of their links
(token buckets; `unlimited` is a virtual cable at the speed of memory). Latency is that of one machine. With more hosts than cores, ranks compute
by turns: computation takes longer than on as many real hosts, so gains from sending less are understated.
"""


def table(rows: list[Row], columns: Iterable[str] = ()) -> str:
    """Default: all columns."""
    return f"```\n{format_table(rows, list(dict.fromkeys(columns or itertools.chain(*rows))))}\n```\n"


def groups(rows: list[Row], columns: list[str]) -> list[list[Row]]:
    """Rows that agree in these columns, in order of appearance."""
    keys = dict.fromkeys(tuple(row.get(name) for name in columns) for row in rows)
    return [[row for row in rows if tuple(row.get(name) for name in columns) == key] for key in keys]


def ratio(above: float | None, below: float | None) -> float | str:
    return above / below if above is not None and below else "-"


def report_strategies(rows: list[Row]) -> str:
    """Per rate, dimension and wire: the optimal plan against each strategy in speed and bytes, and against its prediction."""
    where = ["rate", "model.embedding_dim", "system.wire"]
    exchanged = "bytes_per_iteration.rows + bytes_per_iteration.gradients"
    lines = []
    for group in groups(rows, where):
        by_name = {row["strategy"]: row for row in group}
        optimal = by_name.pop("optimal", None)
        if optimal is None or not by_name:
            continue
        speed = {name: number(row, "samples_per_second") or 0 for name, row in by_name.items()}
        own = number(optimal, "samples_per_second")
        line: Row = {name: optimal[name] for name in where}
        line |= {f"x {name}": ratio(own, other) for name, other in speed.items()}
        line["x best"] = ratio(own, max(speed.values()))
        line["measured / predicted"] = ratio(number(optimal, "seconds_per_iteration"), number(optimal, "predicted.seconds_per_iteration"))
        if "table_wise_usual" in by_name:
            line["bytes"] = ratio(number(by_name["table_wise_usual"], exchanged), number(optimal, exchanged))
        lines.append(line)
    text = """Samples per second of the optimal plan as a multiple of each strategy's and of the best one's; its seconds per iteration, measured against predicted;
bytes of rows and gradients that table_wise_usual sends for each that the optimal plan sends.

"""
    return text + table(lines)


def report_links(rows: list[Row]) -> str:
    """Differences of two runs of one strategy: bytes on the links against bytes in the ledger."""
    lines = []
    for group in groups(rows, ["placement.strategy", "rate"]):
        group.sort(key=lambda row: row["steps"])
        if len(group) < 2:
            continue
        first, last = group[0], group[-1]
        links = last["links.sent_bytes"] - first["links.sent_bytes"]
        ledger = sum(sign * row["bytes_per_iteration.total"] * row["ranks"] * row["steps"] for sign, row in ((1, last), (-1, first)))
        lines.append(
            {"placement.strategy": first["placement.strategy"], "rate": first["rate"], "iterations": last["steps"] - first["steps"],
             "bytes on the links": links, "bytes in the ledger": round(ledger), "links / ledger": ratio(links, ledger)}
        )  # fmt: skip
    return "The links also carry headers of Open MPI, TCP, IP and Ethernet.\n\n" + table(lines)


def milliseconds(row: Row, *columns: str) -> float:
    return 1e3 * (number(row, " + ".join(columns)) or 0)


def report_overlap(rows: list[Row]) -> str:
    """Per rate and model, a pair of runs as one line."""
    where = ["rate", "sized_for"]
    phases = [f"seconds_by_phase.{name}" for name in ("ids", "rows", "gradients", "allreduce")]
    lines = []
    for group in groups(rows, where):
        by_name = {row["system.pipeline"]: row for row in group}
        if len(by_name) < 2:
            continue
        before, after = by_name["sequential"], by_name["overlapped"]
        line: Row = {name: after[name] for name in where}
        line |= {"compute": milliseconds(before, "seconds_by_phase.compute"), "exchange": milliseconds(before, *phases)}
        for name, row in by_name.items():
            line[name] = milliseconds(row, "seconds_per_iteration")
            line[f"{name}, predicted"] = milliseconds(row, f"predicted.{name}_seconds")
        whole, path = milliseconds(after, "predicted.sequential_seconds"), milliseconds(after, "predicted.critical_path_seconds")
        line["speed-up"] = ratio(line["sequential"], line["overlapped"])
        line["predicted"] = ratio(whole, line["overlapped, predicted"])
        line["allowed"] = ratio(whole, path)
        line["dirty rows"] = ratio(number(after, "pipeline.dirty_rows_per_iteration"), number(after, "distinct_rows_per_iteration"))
        line["critical path"] = milliseconds(after, "pipeline.critical_path_seconds")
        line["critical path, predicted"] = path
        lines.append(line)
    text = """Milliseconds per iteration: computation and exchange of the sequential step, both steps, the critical path. Speed-up: sequential over overlapped as
measured and as predicted; allowed: the predicted sequential time over the predicted critical path. Dirty rows: the share of a batch's distinct rows
that the batch before updates, so that they cannot come ahead (all of the first batch's are).

"""
    return text + table(lines)


def report_goal(rows: list[Row]) -> str:
    """The optimal plan's speed as a multiple of each other system's."""
    speed = {row["system"]: number(row, "samples_per_second") for row in rows}
    lines: list[Row] = []
    for name in (name for name in speed if not name.startswith("optimal") or name == "optimal_sequential"):
        lines.append({"against": name, **{f"x, {own}": ratio(speed[own], speed[name]) for own in ("optimal", "optimal_bf16") if own in speed}})
    return "Samples per second of the optimal plan, overlapped, as a multiple of:\n\n" + table(lines)


def report_assignment(rows: list[Row]) -> str:
    """Per rate, dimension and wire: medians of the repeats, and the medians of each system's multiples of the others' in the same repeat."""
    where = ["rate", "model.embedding_dim", "system.wire"]
    sent = " + ".join(f"bytes_per_iteration.{phase}" for phase in ("ids", "rows", "gradients", "samples"))
    lines = []
    for group in groups(rows, where):
        by_system = {name: [row for row in group if row["system"] == name] for name in dict.fromkeys(row["system"] for row in group)}
        for name, own in by_system.items():
            speeds = [speed for row in own if (speed := number(row, "samples_per_second"))]
            if not speeds:
                continue
            line: Row = {column: own[0][column] for column in where} | {"system": name}
            middle = statistics.median(speeds)
            line |= {"samples/s": middle, "spread": f"{min(speeds) / middle:.2f} to {max(speeds) / middle:.2f}"}
            for other in ("table_wise_usual", "contiguous"):
                others = {row["repeat"]: number(row, "samples_per_second") for row in by_system.get(other, [])}
                ratios = [number(row, "samples_per_second") / others[row["repeat"]] for row in own if row["repeat"] in others]
                line[f"x {other}"] = statistics.median(ratios) if ratios else "-"
            off = [number(row, "seconds_per_iteration") / number(row, "predicted.seconds_per_iteration") for row in own]
            line["measured / predicted"] = statistics.median(off)
            line["kB sent"] = statistics.median(number(row, sent) or 0 for row in own) / 1e3
            lines.append(line)
    text = """Medians of the repeats; spread: the slowest and the fastest repeat over the median. x: median over the repeats of the multiple of another system's
samples per second. kB sent: ids, rows, gradients and moved samples of a rank and iteration.

"""
    return text + table(lines)


REPORTS = {"assignment": report_assignment, "strategies": report_strategies, "links": report_links, "overlap": report_overlap, "goal": report_goal}


def command_output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def machine(program: pathlib.Path) -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    load_average = os.getloadavg()[0]
    return (
        f"{command_output(str(program), '--version')}; {model}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"{command_output('mpirun', '--version')}; load average at the end {load_average:.1f}"
    )


def write_report(out: pathlib.Path, sweeps: dict[str, Sweep], options: argparse.Namespace, failed: list[str]) -> None:
    parts = [f"# Results on emulated clusters{' (quick form)' if options.quick else ''}\n", HONESTY, f"Machine: {machine(options.program)}.\n"]
    if options.set:
        parts.append(f"Changed for all runs: {', '.join(options.set)}.\n")
    for name, sweep in sweeps.items():
        rows = read_csv(out / name / "results.csv")
        parts.append(f"## {name}\n")
        if name in failed:
            parts.append("**Some runs of this section failed; see `status` in its results.csv and their log.txt.**\n")
        if name in REPORTS:
            parts.append(REPORTS[name](rows))
        varied = itertools.chain(*(run.columns for run in sweep.runs(out / name)))
        parts.append(table(rows, [*varied, "ranks", *sweep.table]))
        parts += [f"![{figure.name}]({name}/{figure.name}.svg)\n" for figure in sweep.figures if (out / name / f"{figure.name}.svg").exists()]
    (out / "report.md").write_text("\n".join(parts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/reproduce"), help="default: runs/reproduce")
    return parser.parse_args()


def main() -> int:
    options = parse()
    if os.geteuid() != 0 and not options.dry_run:
        raise SweepError("emulated clusters are network namespaces, which need root: sudo scripts/reproduce.py")
    sweeps = {}
    for name in options.only:
        path, launcher = SECTIONS[name]
        sweeps[name] = load(ROOT / path, options)
        sweeps[name].launcher = launcher or sweeps[name].launcher
    failed = [name for name, sweep in sweeps.items() if run_sweep(sweep, options, options.out / name) != 0]
    if options.dry_run:
        return 0
    write_report(options.out, sweeps, options, failed)
    print(f"{options.out / 'report.md'}{': runs failed in ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
