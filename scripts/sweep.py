#!/usr/bin/env python3
"""Runs a base configuration over every combination of values that a sweep file names (configs/sweeps/; its form: sweep_file.py).

    scripts/sweep.py configs/sweeps/ranks.yaml
    scripts/sweep.py configs/sweeps/ranks.yaml --resume          # only what is not done yet
    scripts/sweep.py configs/sweeps/ranks.yaml --only 3          # run number 3; --only 1/4: the second of four parts, for job arrays

Every run has its own folder; its name is made from its values. A run that fails is reported, its log kept, and the others go on. At the end
results.csv has one row per run, the figures are drawn, and the exit code is 1 if a run failed.
"""
from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import re
import shlex
import signal
import sys

from python_packages import require

require("yaml")

from plot_runs import draw, read_csv  # noqa: E402
from sparrow_runs import ROOT, Outcome, Runner, collect, format_table, launched, locked, read_summary, write_csv  # noqa: E402
from sweep_file import LAUNCHERS, Launcher, Run, Sweep, SweepError, read_sweep  # noqa: E402

LOG_LINES = 15  # shown of a failed run that gives no reason


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=pathlib.Path, help="a sweep file")
    add_options(parser)
    parser.add_argument("--only", metavar="I[/N]", help="run number I, or part I of N; from 0")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the results; default: runs/sweeps/NAME")
    parser.add_argument("--launcher", choices=[name for name in LAUNCHERS if name != "emulate_cluster"], help="instead of the sweep file's")
    return parser.parse_args(arguments)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument("--resume", action="store_true", help="skip runs whose results are there")
    parser.add_argument("--quick", action="store_true", help="the small form that the sweep file names")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="changes a key of the configuration in all runs")
    default = os.environ.get("SPARROW_PROGRAM", str(ROOT / "build/sparrow"))
    parser.add_argument("--program", type=pathlib.Path, default=pathlib.Path(default), help="default: $SPARROW_PROGRAM, else build/sparrow")


def load(path: pathlib.Path, options: argparse.Namespace) -> Sweep:
    """The sweep with the changes of the command line."""
    sweep = read_sweep(path, options.quick)
    for setting in options.set:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SweepError(f"--set {setting}: expected KEY=VALUE")
        sweep.settings[key] = parse_value(value)
    return sweep


def parse_value(text: str):
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def choose(runs: list[Run], only: str | None) -> list[Run]:
    if only is None:
        return runs
    match = re.fullmatch(r"(\d+)(?:/(\d+))?", only)
    if not match:
        raise SweepError(f"--only {only}: expected I or I/N")
    index, parts = int(match[1]), int(match[2]) if match[2] else len(runs)
    if index >= parts:
        raise SweepError(f"--only {only}: there are {parts} {'parts' if match[2] else 'runs'}, numbered from 0")
    return [run for run in runs if run.index % parts == index]


def run_sweep(sweep: Sweep, options: argparse.Namespace, out: pathlib.Path, only: str | None = None) -> int:
    """Runs what is to be run, writes the results; the exit code."""
    runs = sweep.runs(out)
    chosen = choose(runs, only)
    runner = Runner(sweep, options.program.absolute(), out)
    if options.dry_run:
        for run in chosen:
            print(f"# {run.index}: {run.folder.name}{' (done)' if read_summary(run.folder) else ''}\n{shlex.join(runner.command(run))}")
        print(f"# {len(chosen)} of {len(runs)} runs")
        return 0
    if not (options.program.is_file() and os.access(options.program, os.X_OK)):
        raise SweepError(f"no program '{options.program}' (scripts/run.sh or cmake builds it; --program names another)")
    if sweep.figures:
        require("matplotlib")  # now, rather than when all is done
    out.mkdir(parents=True, exist_ok=True)
    left = [run for run in chosen if not (options.resume and read_summary(run.folder))]
    print(f"{sweep.name}: {len(runs)} runs, {len(left)} to do here, results in {out}", flush=True)
    failed = {outcome.run.index: outcome.reason for outcome in execute(runner, left, len(runs)) if outcome.status == "failed"}

    with locked(out / ".results.lock"):  # of the parts of a job array, the last one to end sees all results
        rows = collect(runs, failed)
        write_csv(out / "results.csv", rows)
        pictures = [f"{figure.name}.svg" for figure in sweep.figures if draw(figure, read_csv(out / "results.csv"), out / f"{figure.name}.svg")]
    print(format_table([row for row in rows if row["status"] != "missing"], list(dict.fromkeys([*runs[0].columns, "ranks", "status", *sweep.table]))))
    print(f"{out}: {', '.join(['results.csv', *pictures])}")
    if failed:
        reasons = (f"  {runs[index].folder}: {'; '.join([reason, *said(runs[index])])}" for index, reason in failed.items())
        print(f"{len(failed)} of {len(left)} runs failed:", *reasons, sep="\n")
    return 1 if failed else 0


def execute(runner: Runner, runs: list[Run], total: int) -> list[Outcome]:
    outcomes = []
    for rate, group in itertools.groupby(runs, key=lambda run: run.rate):
        with launched(runner.sweep.launcher, rate):
            for run in group:
                print(f"[{run.index + 1}/{total}] {run.folder.name} ...", end=" ", flush=True)
                outcome = runner.execute(run)
                print(f"{outcome.status} after {outcome.seconds:.1f} s", flush=True)
                if outcome.status == "failed":
                    print(explain(run, outcome.reason), flush=True)
                outcomes.append(outcome)
    return outcomes


def log_lines(run: Run) -> list[str]:
    return (run.folder / "log.txt").read_text(errors="replace").splitlines()


def said(run: Run) -> list[str]:
    """What the program says of its failure: one line, or none."""
    return [line for line in log_lines(run) if line.startswith("sparrow ")][:1]


def explain(run: Run, reason: str) -> str:
    """Why a run failed: what the program says of it, else the end of the log."""
    lines = said(run) or log_lines(run)[-LOG_LINES:]
    return "\n".join([*(f"  | {line}" for line in lines), f"  {reason}; all of its output: {run.folder / 'log.txt'}"])


def guarded(main) -> int:
    """Errors for people; ends on SIGTERM as on Ctrl-C, which stops the run and takes an emulated cluster down."""

    def stop(number, _frame):
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        return main()
    except (SweepError, RuntimeError, OSError) as error:
        print(f"{pathlib.Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2


def main() -> int:
    options = parse(sys.argv[1:])
    sweep = load(options.sweep, options)
    if options.launcher:
        if sweep.launcher.name == "emulate_cluster":
            raise SweepError(f"--launcher {options.launcher}: {options.sweep} is about an emulated cluster")
        if options.launcher != sweep.launcher.name:
            sweep.launcher = Launcher(options.launcher)
    return run_sweep(sweep, options, options.out or pathlib.Path("runs/sweeps") / sweep.name, options.only)


if __name__ == "__main__":
    sys.exit(guarded(main))
