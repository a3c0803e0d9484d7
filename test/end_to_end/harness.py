"""What the end-to-end tests share: rows in Criteo's format, running the program under mpirun, reading what it leaves.

Every test is a script: it prints what it checks, exits 0 when all holds, 1 when a check fails and 77 (ctest: skipped)
when what it needs is not on this machine. The environment says where things are: SPARROW_PROGRAM, SPARROW_MPIEXEC,
SPARROW_SHARED (a folder with real rows, which are never part of the repository). SPARROW_KEEP=1 keeps the test's folder.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("SPARROW_PROGRAM", str(REPOSITORY / "build/sparrow"))
MPIEXEC = os.environ.get("SPARROW_MPIEXEC", "mpirun")
SHARED = pathlib.Path(os.environ.get("SPARROW_SHARED", REPOSITORY.parent / "shared"))
SKIPPED = 77
DENSE, TABLES = 13, 26


def skip(reason):
    print("SKIPPED:", reason, flush=True)
    sys.exit(SKIPPED)


def has_real_rows(name="kaggle_sample.tsv.gz"):
    return (SHARED / "data" / name).exists()


def real_rows(name="kaggle_sample.tsv.gz"):
    """A file of real Criteo rows; skips the test where there is none."""
    path = SHARED / "data" / name
    if not has_real_rows(name):
        skip(f"{path} is not there (SPARROW_SHARED names the folder)")
    return path


class Checks:
    """Counts checks and failures; every check is printed."""

    def __init__(self):
        self.made = self.failed = 0

    def that(self, condition, what):
        self.made += 1
        self.failed += not condition
        print(f"{'ok    ' if condition else 'FAILED'} {what}", flush=True)
        return bool(condition)

    def at_most(self, value, limit, what):
        return self.that(value <= limit, f"{what}: {value:.3g}, at most {limit:.3g}")  # NaN fails

    def at_least(self, value, limit, what):
        return self.that(value >= limit, f"{what}: {value:.5g}, at least {limit:.5g}")

    def equal(self, value, expected, what):
        shown = str(value) if len(str(value)) < 60 else "values"
        return self.that(value == expected, f"{what}: {shown}" + ("" if value == expected else f", expected {str(expected)[:60]}"))


def main(test):
    """Runs test(checks, folder) in a new folder and exits with what it found."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sparrow_end_to_end_"))
    checks = Checks()
    try:
        test(checks, folder)
    finally:
        if os.environ.get("SPARROW_KEEP"):
            print("kept:", folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if checks.made == 0:
        checks.that(False, "the test has made no check")
    print(f"{checks.made - checks.failed} of {checks.made} checks hold", flush=True)
    sys.exit(1 if checks.failed else 0)


# --- Rows in Criteo's format ---------------------------------------------------------------------------------------------


def make_lines(count, seed=1, values=400):
    """Lines of Criteo's text format with a signal to learn: frequent and rare categories, about a fifth of the fields
    missing, some negative and some large integers, columns that repeat each other's values."""
    random = numpy.random.default_rng(seed)
    integers = numpy.floor(random.lognormal(2, 1.5, (count, DENSE))).astype(numpy.int64) - 1
    missing = random.random((count, DENSE + TABLES)) < 0.2
    sizes = numpy.array([3, 10, 40, values, 20 * values] * 6)[:TABLES]
    ranks = numpy.minimum((random.pareto(0.8, (count, TABLES)) * 2).astype(numpy.int64), sizes - 1)
    categories = (ranks.astype(numpy.uint64) * 2654435761 + numpy.arange(TABLES, dtype=numpy.uint64) * 977) % 2**32
    effects = numpy.random.default_rng(99).normal(0, 0.5, (TABLES, 8))  # of the data set, whatever the seed
    score = -1.0 + 0.3 * (numpy.log1p(numpy.maximum(integers[:, 0], 0)) - 2) - 0.3 * (integers[:, 1] > 10)
    for t in range(TABLES):
        score += numpy.where(missing[:, DENSE + t], 0, effects[t][ranks[:, t] % 8]) * 0.6
    labels = random.random(count) < 1 / (1 + numpy.exp(-score))
    lines = []
    for i in range(count):
        fields = [str(int(labels[i]))]
        fields += ["" if missing[i, j] else str(integers[i, j]) for j in range(DENSE)]
        fields += ["" if missing[i, DENSE + j] else f"{int(categories[i, j]):08x}" for j in range(TABLES)]
        lines.append("\t".join(fields) + "\n")
    return lines


def write_lines(path, lines):
    pathlib.Path(path).write_text("".join(lines))
    return str(path)


def parse_lines(lines, max_rows):
    """(labels, dense values, ids) of lines, by the published rules: log(1 + max(x, 0)) of integers, a category's value
    modulo max_rows, 0 for what is missing. Knows nothing of the program."""
    rows = [line.rstrip("\n").split("\t") for line in lines]
    labels = numpy.array([float(row[0]) for row in rows])
    dense = numpy.array([[max(int(x or 0), 0) for x in row[1 : 1 + DENSE]] for row in rows], dtype=numpy.float64)
    values = numpy.array([[int(x or "0", 16) for x in row[1 + DENSE :]] for row in rows], dtype=numpy.int64)
    return labels, numpy.log1p(dense), values % numpy.asarray(max_rows)


def write_npy_triplet(stem, lines):
    """The same samples as the three arrays X_dense.npy, X_sparse.npy, X_labels.npy, as TorchRec's preprocessing lays
    them out (with log(1 + x)). Categories must be below 2^31."""
    labels, dense, values = parse_lines(lines, 2**32)
    assert values.max() < 2**31
    numpy.save(f"{stem}_dense.npy", dense.astype(numpy.float32))
    numpy.save(f"{stem}_sparse.npy", values.astype(numpy.int32))
    numpy.save(f"{stem}_labels.npy", labels.astype(numpy.int32).reshape(-1, 1))
    return f"{stem}_dense.npy"


# --- Running the program -------------------------------------------------------------------------------------------------


class Run:
    """A finished run of `sparrow train`."""

    def __init__(self, code, output, errors, directory, timed_out):
        self.code, self.output, self.errors, self.timed_out = code, output, errors, timed_out
        self.directory = pathlib.Path(directory)

    @property
    def summary(self):
        return json.loads((self.directory / "summary.json").read_text())

    @property
    def records(self):
        return [json.loads(line) for line in (self.directory / "metrics.jsonl").read_text().splitlines()]

    @property
    def losses(self):
        return {record["step"]: record["loss"] for record in self.records if "loss" in record}

    @property
    def auc(self):
        return self.summary["eval"]["auc"]

    @property
    def checkpoint(self):
        return newest_checkpoint(self.directory)


def merge(config, changes):
    """A copy of config with the nested changes made."""
    result = dict(config)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if nested else value
    return result


class Started:
    """A run that is under way. What it prints goes to files: a pipe that nobody reads would stop it."""

    def __init__(self, command, directory):
        self.directory = directory
        self.output, self.errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.errors, start_new_session=True)

    def finish(self, timeout):
        timed_out = False
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(self.process.pid, signal.SIGTERM)  # mpirun ends its ranks
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        texts = []
        for file in (self.output, self.errors):
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Run(self.process.returncode, *texts, self.directory, timed_out)


def write_config(path, config):
    path.write_text(json.dumps(config, indent=1))  # every JSON text is YAML too


def start(config, directory, ranks=1, arguments=()):
    """Starts `mpirun -n ranks sparrow train` on a config (nested dictionaries, or a file) with output.dir = directory."""
    directory = pathlib.Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = config
    if isinstance(config, dict):
        path = directory.with_suffix(".yaml")
        write_config(path, config)
    command = [MPIEXEC, "-n", str(ranks), PROGRAM, "train", str(path), "--set", f"output.dir={directory}", *arguments]
    return Started(command, directory)


def run(config, directory, ranks=1, arguments=(), timeout=300):
    return start(config, directory, ranks, arguments).finish(timeout)


def train(config, directory, ranks=1, arguments=(), timeout=300):
    """A run that must succeed."""
    result = run(config, directory, ranks, arguments, timeout)
    if result.code != 0:
        print(result.errors)
        raise SystemExit(f"FAILED: sparrow train ended with {result.code} on {ranks} ranks ({directory})")
    return result


# --- Checkpoints ---------------------------------------------------------------------------------------------------------


def newest_checkpoint(directory):
    found = sorted(p.parent for p in pathlib.Path(directory).glob("checkpoints/samples_*/index.json"))
    return found[-1] if found else None


def read_safetensors(path):
    """{name: float32 array} of a safetensors file, by the format's description."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f4")
        arrays[name] = values.reshape(entry["shape"])
    return arrays


def write_safetensors(path, arrays):
    header, offset = {}, 0
    for name, values in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + 4 * values.size]}
        offset += 4 * values.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    blocks = [values.astype("<f4").tobytes() for values in arrays.values()]
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def read_checkpoint(folder):
    """{name: array}: dense parameters, "state." + those of the optimiser, and per table emb_l.T.weight and
    state.emb_l.T.weight, rows by id."""
    folder = pathlib.Path(folder)
    arrays = read_safetensors(folder / "dense.safetensors")
    for t in range(TABLES):
        files = [read_safetensors(path) for path in sorted((folder / f"table_{t:02}").glob("rows_*.safetensors"))]
        arrays[f"emb_l.{t}.weight"] = numpy.concatenate([file["values"] for file in files])
        if "state" in files[0]:
            arrays[f"state.emb_l.{t}.weight"] = numpy.concatenate([file["state"] for file in files])
    return arrays


def relative_differences(found, values):
    """|difference| / max(|value|, root mean square of the tensor) of every value, flat: a value that happens to lie near 0 is
    measured against its tensor."""
    scale = numpy.maximum(numpy.abs(values), numpy.sqrt((values.astype(float) ** 2).mean()))
    return (numpy.abs(found.astype(float) - values) / numpy.maximum(scale, 1e-30)).ravel()


def relative_difference(found, expected):
    """The largest of the relative differences, over all tensors; NaN if one is (which Python's max would pass over)."""
    return numpy.max([relative_differences(found[name], values).max() for name, values in expected.items()])


def same_bytes(folder, other):
    """Whether two folders hold the same files with the same bytes."""
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in (folder, other)]
    return names[0] == names[1] and all((folder / n).read_bytes() == (other / n).read_bytes() for n in names[0])
