"""scripts/sweep.py: what it runs, what it skips, what it leaves, and what it says of a broken sweep file."""
import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import harness

SWEEP = harness.REPOSITORY / "scripts/sweep.py"

# Stands in for `mpirun -n RANKS sparrow train CONFIG --set ...` where the program itself is not the matter. Appends its settings to $CALLS; ends as
# they say: train.samples=0 fails, 1 leaves half a summary, 2 waits for ever.
RECORDER = f"""#!{sys.executable}
import json, os, pathlib, sys, time
if "train" not in sys.argv:
    sys.exit(0)
ranks = int(sys.argv[sys.argv.index("-n") + 1])
settings = dict(a.split("=", 1) for a in sys.argv if "=" in a)
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([ranks, os.getpid(), settings]) + "\\n")
samples = int(settings.get("train.samples", "9"))
out = pathlib.Path(settings["output.dir"])
if samples == 0:
    print("sparrow train: rank 0: no samples")
    sys.exit(1)
if samples == 2:
    time.sleep(600)
text = json.dumps({{"ranks": ranks, "samples": samples, "samples_per_second": 1000.0 * ranks, "eval": {{"auc": 0.5}}}})
(out / "summary.json").write_text(text[: len(text) // 2] if samples == 1 else text)
"""


class Sweeps:
    """Writes sweep files into a folder and runs them there."""

    def __init__(self, folder):
        self.folder = folder
        self.calls_file = folder / "calls"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/mpirun").write_text(RECORDER)
        (folder / "bin/mpirun").chmod(0o755)
        (folder / "base.yaml").write_text("train: {samples: 9}\n")

    def write(self, text, name="s.yaml"):
        (self.folder / name).write_text(text)
        return self.folder / name

    def start(self, *arguments, recorder=True):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}" if recorder else os.environ["PATH"]
        program = shutil.which("true") if recorder else harness.PROGRAM
        environment = {**os.environ, "PATH": path, "CALLS": str(self.calls_file), "SPARROW_PROGRAM": program}
        return subprocess.Popen([sys.executable, SWEEP, *map(str, arguments)], cwd=self.folder, env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def run(self, *arguments, recorder=True):
        """(exit code, output, errors, calls of the program)."""
        self.calls_file.write_text("")
        process = self.start(*arguments, recorder=recorder)
        output, errors = process.communicate(timeout=200)
        return process.returncode, output, errors, self.calls()

    def calls(self):
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()] if self.calls_file.exists() else []

    def rows(self, out):
        with open(self.folder / out / "results.csv", newline="") as file:
            return list(csv.DictReader(file))


def check_real(checks, folder):
    """Six runs of the program: two ways to train times two numbers of ranks, and a broken one."""
    sweeps = Sweeps(folder)
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(512))
    (folder / "base.yaml").write_text(
        f"data: {{train: [{data}], max_rows: 100}}\nmodel: {{embedding_dim: 4, bottom: [8], top: [8]}}\n"
        f"train: {{global_batch: 128, samples: 512}}\nsystem: {{threads: 1}}\noutput: {{checkpoint_every: -1}}\n"
    )
    path = sweeps.write(
        "config: base.yaml\n"
        "set: {train.samples: 256}\n"
        "grid:\n"
        "  optimizer.sparse.name: [sgd, adagrad, none_such]\n"
        "ranks: [1, 2]\n"
        "table: [train_loss]\n"
        "figures: [{name: loss, kind: bars, x: optimizer.sparse.name, y: train_loss, series: ranks}]\n",
        "real.yaml",
    )
    has_matplotlib = subprocess.run([sys.executable, "-c", "import matplotlib"], stderr=subprocess.DEVNULL).returncode == 0
    if not has_matplotlib:
        print("not checked: the figure (no matplotlib)")
        path.write_text(path.read_text().split("figures")[0])
    code, output, errors, _ = sweeps.run(path, recorder=False)
    checks.equal(code, 1, "exit code of a sweep with a failed run")
    rows = sweeps.rows("runs/sweeps/real")
    checks.equal([row["status"] for row in rows], ["done"] * 4 + ["failed"] * 2, "status of the runs")
    checks.equal([row["ranks"] for row in rows], ["1", "2"] * 3, "ranks of the runs")
    checks.that(all(float(row["train_loss"]) > 0 and row["samples"] == "256" for row in rows[:4]), "summaries are in the CSV")
    losses = [float(row["train_loss"]) for row in rows[:4]]
    checks.at_most(abs(losses[0] - losses[1]), 1e-4, "one and two ranks train the same, loss difference")
    checks.that("none_such" in output and "train_loss" in output, "the reason of the failure and the table are shown")
    checks.that(all("none_such" in line for line in output.splitlines()[-2:]), "the last lines say again why each run failed")
    logs = [folder / "runs/sweeps/real" / row["run"] / "log.txt" for row in rows]
    checks.that(all("sparrow" in log.read_text() for log in logs), "every run has a log")
    checks.equal((folder / "runs/sweeps/real/loss.svg").exists(), has_matplotlib, "the figure is there")
    if len(losses) < 4 or "Traceback" in errors:
        print(output, errors)


def check_resume(checks, folder):
    sweeps = Sweeps(folder)
    path = sweeps.write("config: base.yaml\ngrid: {train.seed: [1, 2], train.epochs: [1, 2, 3]}\nranks: 2\n")
    code, output, _, calls = sweeps.run(path, "--dry-run")
    checks.equal((code, len(calls), output.count("mpirun -n 2 ")), (0, 0, 6), "--dry-run shows six runs and makes none")
    code, _, _, calls = sweeps.run(path)
    checks.equal((code, len(calls)), (0, 6), "all runs are made")
    rows = sweeps.rows("runs/sweeps/s")
    checks.equal([(row["train.seed"], row["train.epochs"]) for row in rows], [(s, e) for s in "12" for e in "123"], "combinations")
    checks.equal(len({row["run"] for row in rows}), 6, "folders of their own")
    checks.equal((rows[0]["samples_per_second"], rows[0]["eval.auc"]), ("2000.0", "0.5"), "flattened values")

    summaries = [folder / "runs/sweeps/s" / row["run"] / "summary.json" for row in rows]
    summaries[1].unlink()
    summaries[4].write_text(summaries[4].read_text()[:20])
    code, _, _, calls = sweeps.run(path, "--resume")
    made = [(settings["train.seed"], settings["train.epochs"]) for _, _, settings in calls]
    checks.equal((code, made), (0, [("1", "2"), ("2", "2")]), "--resume makes what is missing or not whole")
    checks.equal(len(sweeps.run(path, "--resume")[3]), 0, "and then nothing")
    (folder / "base.yaml").write_text("train: {samples: 8}\n")
    checks.equal(len(sweeps.run(path, "--resume")[3]), 6, "another base configuration makes all runs new")


def check_parts(checks, folder):
    sweeps = Sweeps(folder)
    path = sweeps.write("config: base.yaml\ngrid: {train.epochs: [1, 2, 3]}\nseeds: 2\n")
    wanted = [(e, s) for e in "123" for s in "12"]

    def made(*arguments):
        return [(settings["train.epochs"], settings["train.seed"]) for _, _, settings in sweeps.run(path, *arguments)[3]]

    checks.equal([made("--only", str(i)) for i in range(6)], [[run] for run in wanted], "--only I makes run I")
    parts = [made("--only", f"{i}/4") for i in range(4)]
    checks.equal(sorted(sum(parts, [])), wanted, "four parts make every run once")
    checks.equal(len(sweeps.rows("runs/sweeps/s")), 6, "rows of the results of all parts")
    for only in ("6", "4/4", "x", "1/"):
        code, _, errors, calls = sweeps.run(path, "--only", only)
        checks.that(code == 2 and not calls and f"--only {only}" in errors, f"--only {only} is refused")


def check_failures(checks, folder):
    sweeps = Sweeps(folder)
    path = sweeps.write("config: base.yaml\ngrid: {train.samples: [5, 0, 1, 6]}\n")
    code, output, _, calls = sweeps.run(path)
    checks.equal((code, len(calls)), (1, 4), "a failed run does not stop the rest")
    checks.equal([row["status"] for row in sweeps.rows("runs/sweeps/s")], ["done", "failed", "failed", "done"], "status")
    checks.that("no samples" in output and "no whole summary.json" in output, "the reasons are shown")
    checks.that("2 of 4 runs failed" in output, "and counted")
    path = sweeps.write("config: base.yaml\ngrid: {train.samples: [2, 3]}\ntimeout: 1\n", "slow.yaml")
    code, output, _, calls = sweeps.run(path)
    checks.that(code == 1 and "no end within 1 s" in output, "a run that takes too long has failed")
    checks.that(ended(calls[0][1]), "and was ended")
    checks.equal([row["status"] for row in sweeps.rows("runs/sweeps/slow")], ["failed", "done"], "the next one was made")


def ended(pid, seconds=10):
    for _ in range(10 * seconds):
        try:
            os.kill(pid, 0)
            # a zombie whose parent does not wait has ended, too
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def check_killed(checks, folder):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        sweeps = Sweeps(folder / number.name)
        path = sweeps.write("config: base.yaml\ngrid: {train.samples: [5, 2, 6]}\n")
        process = sweeps.start(path)
        while len(sweeps.calls()) < 2 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        code = process.wait(30)
        checks.that(code != 0, f"{number.name} in the middle ends the sweep")
        checks.that(ended(sweeps.calls()[1][1]), "and the run under way")
        out = folder / number.name / "runs/sweeps/s"
        checks.equal(len(list(out.glob("*/summary.json"))), 1, "one run was done")
        sweeps.write("config: base.yaml\ngrid: {train.samples: [5, 6]}\n")
        code, _, _, calls = sweeps.run(path, "--resume")
        checks.equal((code, [call[2]["train.samples"] for call in calls]), (0, ["6"]), "--resume makes the rest")


BROKEN = [
    ("", ": the file is empty"),
    ("grid: {a.b: [1]}", ":1: config is missing"),
    ("config: other.yaml", ":1: config: no file"),
    ("config: base.yaml\nconfig: base.yaml", ":2: config: given twice"),
    ("config: base.yaml\ngird: {a.b: [1]}", ":2: gird: unknown key"),
    ("config: base.yaml\ngrid:\n  train.seed: 3", ":3: grid.train.seed: expected a list"),
    ("config: base.yaml\ngrid:\n  train.seed: [3, 4,\n    3]", ":4: grid.train.seed: 3 given twice"),
    ("config: base.yaml\ngrid:\n  train.seed: []", ":3: grid.train.seed: the list is empty"),
    ("config: base.yaml\ngrid: {seed: [1]}", ":2: grid.seed: expected a key of the configuration"),
    ("config: base.yaml\ngrid: {data: {x: {seed: 1}}}", ":2: grid.data.x.seed: expected a key of the configuration"),
    ("config: base.yaml\ngrid: {data: {}}", ":2: grid.data: there are no cases"),
    ("config: base.yaml\ngrid: {ranks: {one: {a.b: 1}}}", ":2: grid.ranks: this column has a place of its own"),
    ("config: base.yaml\nset: {output.dir: x}", ":2: set.output.dir: the sweep gives each run its own folder"),
    ("config: base.yaml\nset: 3", ":2: set: expected a map"),
    ("config: base.yaml\nranks: [1, two]", ":2: ranks: 'two' is not a number"),
    ("config: base.yaml\nranks: 0", ":2: ranks: 0: at least 1"),
    ("config: base.yaml\nseeds: [1, 1]", ":2: seeds: a value given twice"),
    ("config: base.yaml\nlauncher: ssh", ":2: launcher: unknown value 'ssh'"),
    ("config: base.yaml\nlauncher: {name: mpirun, rate: 1gbit}", ":2: launcher.rate: mpirun has none"),
    ("config: base.yaml\nlauncher: {name: emulate_cluster, hosts: 2}", ":2: launcher: rate is missing"),
    ("config: base.yaml\nlauncher:\n  name: emulate_cluster\n  hosts: 2\n  rate: fast", ":5: launcher.rate: 'fast': expected a rate"),
    ("config: base.yaml\nlauncher: {name: emulate_cluster, hosts: 3, rate: '1gbit,1gbit'}", ":2: launcher.rate: '1gbit,1gbit'"),
    ("config: base.yaml\nranks: 4\nlauncher: {name: emulate_cluster, hosts: 2, rate: 1gbit}", ":2: ranks: 4 ranks, but 2 hosts"),
    ("config: base.yaml\nfigures: [{name: a, x: b}]", ":2: figures: missing 1 required positional argument: 'y'"),
    ("config: base.yaml\nfigures: [{name: a, x: b, y: c, kind: pie}]", ":2: figures: kind: unknown value 'pie'"),
    ("config: base.yaml\nset: &a {x.y: *a}", ": a value contains itself"),
    ("config: [base.yaml\n", ":2: "),
    ("config: base.yaml\nquick: {table: [a]}", ":2: quick.table: unknown key"),
]


def check_broken(checks, folder):
    sweeps = Sweeps(folder)
    for i, (text, message) in enumerate(BROKEN):
        path = sweeps.write(text, f"broken{i}.yaml")
        arguments = ("--quick",) if "quick" in text else ()
        code, _, errors, calls = sweeps.run(path, *arguments)
        if not checks.that(code == 2 and not calls and f"{path}{message}" in errors, f"refused: {message}"):
            print(text, errors, sep="\n")
    path = sweeps.write("config: base.yaml\n")
    code, _, errors, _ = sweeps.run(path, "--program", "/no/such/program")
    checks.that(code == 2 and "/no/such/program" in errors, "a program that is not there is named")


def check_quick(checks, folder):
    sweeps = Sweeps(folder)
    path = sweeps.write(
        "config: base.yaml\nset: {train.epochs: 5, train.samples: 7}\ngrid: {train.seed: [1, 2, 3], data: {a: {data.max_rows: 4}}}\n"
        "ranks: [1, 2]\nquick: {set: {train.epochs: 1}, grid: {train.seed: [9]}, ranks: 1}\n"
    )
    checks.equal(len(sweeps.run(path)[3]), 6, "runs of the whole sweep")
    (ranks, _, settings), *more = sweeps.run(path, "--quick", "--set", "train.samples=8")[3]
    checks.equal(len(more), 0, "other runs of the quick form")
    wanted = {"train.epochs": "1", "train.samples": "8", "train.seed": "9", "data.max_rows": "4", "output.resume": "never"}
    checks.equal({key: settings.get(key) for key in wanted} | {"n": ranks}, wanted | {"n": 1}, "its settings")


def check_packages(checks, folder):
    script = folder / "needs_much.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(SWEEP.parent)!r})\nfrom python_packages import require\nrequire('no_such_module')\n")
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    checks.that(result.returncode != 0 and "apt-get install python3-no_such_module" in result.stderr, "a missing package is named")


def check_configs(checks, folder):
    """The sweep files of the repository: with data that are not there, the missing data are all that is wrong with any of their runs."""
    sys.path.insert(0, str(SWEEP.parent))
    from sparrow_runs import Runner
    from sweep_file import read_sweep

    absent = folder / "absent.tsv"
    files = sorted(path for name in ("sweeps", "reproduce") for path in (harness.REPOSITORY / "configs" / name).glob("*.yaml"))
    checks.at_least(len(files), 9, "sweep files")
    for path in files:
        quick, whole = read_sweep(path, quick=True), read_sweep(path)
        runs = quick.runs(folder) + whole.runs(folder)
        wrong = []
        for run in {json.dumps(run.settings): run for run in runs}.values():
            run.settings |= {"data.train": [str(absent)], "data.generate": {}}
            run.settings = {key: value for key, value in run.settings.items() if not key.startswith("data.generate.")}
            command = Runner(whole, pathlib.Path(harness.PROGRAM), folder).command(run)
            result = subprocess.run(command[command.index(harness.PROGRAM) :], cwd=harness.REPOSITORY, capture_output=True, text=True, timeout=60)
            if result.returncode == 0 or str(absent) not in result.stderr:
                wrong.append(result.stderr)
        if not checks.that(not wrong, f"{path.relative_to(harness.REPOSITORY)}: the program accepts its {len(runs)} runs"):
            print(wrong[0])


def test(checks, folder):
    if subprocess.run([sys.executable, "-c", "import yaml"], stderr=subprocess.DEVNULL).returncode != 0:
        harness.skip("no python3-yaml here")
    for check in (check_real, check_resume, check_parts, check_failures, check_killed, check_broken, check_quick, check_packages, check_configs):
        (folder / check.__name__).mkdir()
        check(checks, folder / check.__name__)


harness.main(test)
