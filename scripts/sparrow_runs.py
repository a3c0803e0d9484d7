"""Runs training under a launcher, one run after the other, each in a folder of its own, and collects what they leave.

A run's folder holds what the program writes, log.txt with all it printed, command.txt, and links.json on an emulated cluster. A run counts as done
when its summary.json is whole; the program writes that last.
"""
from __future__ import annotations

import contextlib
import csv
import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from sweep_file import Launcher, Run, Sweep

ROOT = pathlib.Path(__file__).resolve().parents[1]
EMULATE_CLUSTER = ROOT / "scripts/emulate_cluster.sh"


@dataclasses.dataclass
class Outcome:
    run: Run
    status: str  # done | failed | missing
    seconds: float = 0
    reason: str = ""


# --- Launching -----------------------------------------------------------------------------------------------------------


def launch_command(launcher: Launcher, ranks: int) -> list[str]:
    if launcher.name == "emulate_cluster":
        return [str(EMULATE_CLUSTER), "run", "-n", str(ranks), *launcher.arguments]
    if launcher.name == "srun":
        return ["srun", "--mpi=pmix", "--kill-on-bad-exit=1", "-n", str(ranks), *launcher.arguments]
    return ["mpirun", "-n", str(ranks), *launcher.arguments]


def launch_environment(launcher: Launcher, ranks: int) -> dict[str, str]:
    """This environment with what Open MPI needs for several ranks on one machine, as scripts/run.sh has it; what is set already wins."""
    chosen = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
    if launcher.name == "mpirun":
        chosen |= {"OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}
    if launcher.name == "srun" or 2 * ranks > (os.cpu_count() or 1):  # srun does not tell Open MPI how many ranks share a machine
        chosen["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return chosen | os.environ


@contextlib.contextmanager
def launched(launcher: Launcher, rate: str | None) -> Iterator[None]:
    """What runs at this rate need: an emulated cluster, taken down again at the end."""
    if launcher.name != "emulate_cluster":
        yield
        return
    command = [str(EMULATE_CLUSTER), "up", str(launcher.hosts), str(rate), "--slots", str(launcher.slots)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise RuntimeError("the emulated cluster did not come up")
    try:
        yield
    finally:
        subprocess.run([str(EMULATE_CLUSTER), "down"], check=False)


def link_counters() -> dict[str, tuple[int, int]]:
    """{host: (sent bytes, received bytes)} of the emulated cluster so far."""
    output = subprocess.run([str(EMULATE_CLUSTER), "counters"], check=True, capture_output=True, text=True).stdout
    return {host: (int(sent), int(received)) for host, sent, received in map(str.split, output.splitlines()[1:])}


def run_logged(command: list[str], log: pathlib.Path, environment: dict[str, str], timeout: float | None) -> str:
    """Runs a command, its output appended to the log. Returns "" or why it failed. However this process ends, the command ends too; SIGUSR1 is
    passed on to it."""
    with open(log, "a", encoding="utf-8") as output:
        output.write(f"$ {shlex.join(command)}\n")
        output.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    before = signal.signal(signal.SIGUSR1, lambda *_: process.send_signal(signal.SIGUSR1))
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        _stop(process)
        return f"no end within {timeout:g} s"
    except BaseException:
        _stop(process)
        raise
    finally:
        signal.signal(signal.SIGUSR1, before)
    return "" if code == 0 else f"exit code {code}"


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _stop(process: subprocess.Popen) -> None:
    """mpirun gives its ranks a second each to end after SIGTERM."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- One run -------------------------------------------------------------------------------------------------------------


def overrides(settings: dict[str, Any]) -> list[str]:
    """--set KEY=VALUE for each; JSON is YAML, plain words go without quotes."""
    words = []
    for key, value in settings.items():
        plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+=, *-]*", value)
        words += ["--set", f"{key}={value if plain else json.dumps(value)}"]
    return words


class Runner:
    """Executes runs of a sweep with a program."""

    def __init__(self, sweep: Sweep, program: pathlib.Path, out: pathlib.Path):
        self.sweep, self.program, self.out = sweep, program, out
        self.generated: set[str] = set()  # settings of data whose shards are there

    def command(self, run: Run) -> list[str]:
        own = {"output.dir": str(run.folder)}
        if "output.resume" not in run.settings:
            own["output.resume"] = "never"  # half a run's time would not be comparable
        train = [str(self.program), "train", str(self.sweep.config), *overrides(run.settings | own)]
        return launch_command(self.sweep.launcher, run.ranks) + train

    def execute(self, run: Run) -> Outcome:
        run.folder.mkdir(parents=True, exist_ok=True)
        for name in ("summary.json", "links.json", "log.txt"):
            (run.folder / name).unlink(missing_ok=True)
        begin = time.monotonic()
        reason = self._generate(run) or self._train(run)
        if not reason and read_summary(run.folder) is None:
            reason = "it left no whole summary.json"
        return Outcome(run, "failed" if reason else "done", time.monotonic() - begin, reason)

    def _generate(self, run: Run) -> str:
        """Makes the shards that the configuration names, if any, and that are not there."""
        data = overrides({key: value for key, value in run.settings.items() if key.startswith("data.")})
        if str(data) in self.generated:
            return ""
        command = [str(self.program), "generate", "--config", str(self.sweep.config), *data]
        with locked(self.out / ".generate.lock"):  # of the parts of a job array, one makes them
            reason = run_logged(command, run.folder / "log.txt", dict(os.environ), None)
        if not reason:
            self.generated.add(str(data))
        return reason

    def _train(self, run: Run) -> str:
        command = self.command(run)
        (run.folder / "command.txt").write_text(shlex.join(command) + "\n")
        on_links = self.sweep.launcher.name == "emulate_cluster"
        before = link_counters() if on_links else {}
        environment = launch_environment(self.sweep.launcher, run.ranks)
        reason = run_logged(command, run.folder / "log.txt", environment, self.sweep.timeout)
        if on_links and not reason:
            after = link_counters()
            sent = [after[host][0] - before[host][0] for host in after]
            received = [after[host][1] - before[host][1] for host in after]
            links = {"sent_bytes": sum(sent), "max_sent_bytes": max(sent), "max_received_bytes": max(received)}
            (run.folder / "links.json").write_text(json.dumps({"links": links}) + "\n")
        return reason


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- Results -------------------------------------------------------------------------------------------------------------


def read_summary(folder: pathlib.Path) -> dict[str, Any] | None:
    """summary.json, or None when it is not there or not whole."""
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and {"samples", "ranks"} <= summary.keys() else None


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1, "c": [2]}} becomes {"a.b": 1, "a.c.0": 2}."""
    if isinstance(value, list):
        value = {str(i): item for i, item in enumerate(value)}
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}.{key}" if prefix else key)
    return flat


def collect(runs: list[Run], failed: dict[int, str]) -> list[dict[str, Any]]:
    """One row per run: its folder, its status, what the sweep varies, then the flattened summary (of runs that are done)."""
    rows = []
    for run in runs:
        summary = None if run.index in failed else read_summary(run.folder)
        status = "done" if summary else "failed" if run.index in failed else "missing"
        row = {"run": run.folder.name, "status": status, **run.columns, "ranks": run.ranks}
        if summary:
            flat = flatten(summary)
            with contextlib.suppress(OSError, ValueError):
                flat |= flatten(json.loads((run.folder / "links.json").read_text()))
            row = row | flat | row  # first, and not replaced
        rows.append(row)
    return rows


def write_csv(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """Whole or not at all."""
    columns = list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def format_table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Columns that no row has are left out."""
    columns = [name for name in columns if any(name in row for row in rows)]
    cells = [columns] + [[_shown(row.get(name, "-")) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"
    return str(value)
