"""Bad input ends every rank at once with one clear error that names the file and line, the file, or the key; never a
hang, and nothing that could be taken for a result. Malformed lines are left out where the configuration allows it."""
import gzip
import re

import harness

RANKS = 2
TIMEOUT = 60  # seconds; a hang, not a slow machine
CONFIG = {
    "data": {"max_rows": 300, "eval_tail": 100},
    "model": {"embedding_dim": 4, "bottom": [8], "top": [8]},
    "train": {"global_batch": 64},
    "system": {"backend": "host", "threads": 1, "timeout": 20},
    "output": {"resume": "never"},
}


def fields_of(line):
    return line.rstrip("\n").split("\t")


def joined(fields):
    return "\t".join(fields) + "\n"


def with_field(line, column, value):
    fields = fields_of(line)
    fields[column] = value
    return joined(fields)


def bad_lines(line):
    """{name: (bad line, what the error says beside file and line)}."""
    fields = fields_of(line)
    return {
        "a truncated line": (joined(fields[:25]), "25 columns"),
        "a line cut in a category": (line[: line.rindex("\t") + 4] + "\n", "C26"),
        "12 integers": (joined(fields[:13] + fields[14:]), "39 columns"),
        "one column too many": (joined(fields + ["0"]), "41 columns"),
        "an empty line": ("\n", "empty"),
        "a category that is not hexadecimal": (with_field(line, 20, "12x4567f"), "C7"),
        "a category of nine digits": (with_field(line, 39, "123456789"), "C26"),
        "a category of seven digits": (with_field(line, 14, "1234567"), "C1"),
        "an integer with letters": (with_field(line, 3, "12a"), "I3"),
        "an integer beyond 64 bits": (with_field(line, 3, "99999999999999999999"), "I3"),
        "a fraction for an integer": (with_field(line, 13, "1.5"), "I13"),
        "label 2": (with_field(line, 0, "2"), "label"),
        "label -1": (with_field(line, 0, "-1"), "label"),
        "no label": (with_field(line, 0, ""), "label"),
        "a Windows line end": (line[:-1] + "\r\n", "Windows"),
        "binary bytes": ("\0\1\2\3\n", "columns"),
    }


def check_refused(checks, what, config, folder, said, arguments=(), timeout=TIMEOUT):
    """said: texts that the error must hold."""
    directory = folder / re.sub(r"\W+", "_", what)
    run = harness.run(config, directory, RANKS, arguments, timeout)
    ours = [line for line in run.errors.splitlines() if line.startswith("sparrow")]
    errors = {line.split(": ", 2)[-1] for line in ours}  # each rank that sees the fault says it
    problems = []
    if run.timed_out:
        problems.append("it hung")
    if run.code == 0:
        problems.append("exit code 0")
    if len(errors) != 1:
        problems.append(f"{len(errors)} different errors {errors}")
    problems += [f"no '{text}' in {errors}" for text in said if not all(text in error for error in errors)]
    if (directory / "summary.json").exists():
        problems.append("summary.json was left")
    if harness.newest_checkpoint(directory):
        problems.append("a checkpoint was left")
    if "terminate called" in run.errors or "Signal" in run.errors:
        problems.append("it crashed")
    shown = next(iter(errors), "")
    checks.that(not problems, f"{what}: " + ("; ".join(problems) if problems else shown.replace(str(folder), "")[:110]))


def check_lines(checks, lines, folder):
    good = harness.write_lines(folder / "good.tsv", lines[:300])
    for what, (bad, said) in bad_lines(lines[500]).items():
        path = harness.write_lines(folder / "bad.tsv", lines[300:400] + [bad] + lines[400:])
        config = harness.merge(CONFIG, {"data": {"train": [good, path]}})
        check_refused(checks, what, config, folder, [f"{path}:101: ", said])
    path = harness.write_lines(folder / "cut.tsv", lines[:300])
    with open(path, "a") as file:
        file.write(lines[300][:40])
    config = harness.merge(CONFIG, {"data": {"train": [path]}})
    check_refused(checks, "a file cut within its last line", config, folder, [f"{path}:301: "])


def check_files(checks, lines, folder):
    def refused(what, files, said, **data):
        check_refused(checks, what, harness.merge(CONFIG, {"data": {"train": files, **data}}), folder, said)

    good = harness.write_lines(folder / "good.tsv", lines)
    zipped = gzip.compress("".join(lines).encode())
    missing, empty = str(folder / "missing.tsv"), str(folder / "empty.tsv")
    open(empty, "w").close()
    refused("a missing file", [good, missing], [missing])
    refused("a pattern without files", [str(folder / "none_*.tsv")], ["none_*.tsv"])
    refused("an empty file", [good, empty], [empty])
    refused("a folder for a file", [str(folder)], [str(folder)])
    refused("an unknown kind of file", [harness.write_lines(folder / "rows.csv", lines)], ["rows.csv"])
    for what, data, name in (
        ("a cut gzip", zipped[: len(zipped) // 2], "cut.tsv.gz"),
        ("a gzip cut in its last bytes", zipped[:-3], "short.tsv.gz"),
        ("a corrupt gzip", zipped[:5000] + bytes(200) + zipped[5200:], "corrupt.tsv.gz"),
        ("a gzip with a wrong checksum", zipped[:-8] + bytes(4) + zipped[-4:], "checksum.tsv.gz"),
        ("text named gzip", "".join(lines).encode(), "text.tsv.gz"),
        ("a gzip with rubbish behind it", zipped + b"rubbish", "rubbish.tsv.gz"),
        ("an empty gzip", gzip.compress(b""), "empty.tsv.gz"),
        ("an empty file named gzip", b"", "nothing.tsv.gz"),
    ):
        path = folder / name
        path.write_bytes(data)
        refused(what, [good, str(path)], [str(path)])
    path = folder / "bad_line.tsv.gz"
    path.write_bytes(gzip.compress("".join(lines[:7] + ["bad\n"] + lines[7:]).encode()))
    refused("a malformed line in a gzip", [str(path)], [f"{path}:8: "])
    refused("nothing left to train on", [good], ["1200"], eval_tail=len(lines))
    refused("no file at all", [], ["data.train"])
    check_arrays(refused, lines, folder)


def check_arrays(refused, lines, folder):
    def triplet(name):
        small = []
        for line in lines[:500]:
            fields = fields_of(line)
            fields[14:] = [f"{int(x, 16) % 2**31:08x}" if x else "" for x in fields[14:]]
            small.append(joined(fields))
        return harness.write_npy_triplet(folder / name, small)

    path = triplet("missing")
    (folder / "missing_labels.npy").unlink()
    refused("a triplet without labels", [path], ["missing_labels.npy"])
    path = triplet("cut")
    data = (folder / "cut_sparse.npy").read_bytes()
    (folder / "cut_sparse.npy").write_bytes(data[:-100])
    refused("a cut npy file", [path], ["cut_sparse.npy"])
    path = triplet("lying")
    data = (folder / "lying_dense.npy").read_bytes()
    (folder / "lying_dense.npy").write_bytes(data.replace(b"(500, 13)", b"(501, 13)", 1))
    refused("a header that promises more rows", [path], ["lying_"])
    path = triplet("label")
    labels = harness.numpy.load(folder / "label_labels.npy")
    labels[123] = 7
    harness.numpy.save(folder / "label_labels.npy", labels)
    refused("label 7 in an npy file", [path], ["label_labels.npy", "123"])


def check_keys(checks, lines, folder):
    config = harness.merge(CONFIG, {"data": {"train": [harness.write_lines(folder / "good.tsv", lines)]}})

    def refused(what, changes, said):
        check_refused(checks, what, harness.merge(config, changes), folder, said)

    def line_of(changes, key):
        """Where the key comes to stand in the file that harness.start writes."""
        text = harness.json.dumps(harness.merge(config, changes), indent=1).splitlines()
        return 1 + next(i for i, line in enumerate(text) if f'"{key}"' in line)

    for section, key, value in (
        ("model", "embedding_dim", -3),
        ("model", "embedding_dims", 16),
        ("model", "embedding_dim", "wide"),
        ("model", "embedding_dim", 0),
        ("model", "bottom", 64),
        ("train", "global_batch", 0),
        ("train", "global_batch", 1.5),
        ("train", "learning_rate", 0.1),
        ("data", "max_rows", [10, 20]),
        ("data", "eval_tail", -1),
        ("optimizer", "dense", {"name": "adam"}),
        ("placement", "strategy", "best"),
        ("output", "keep", 0),
    ):
        changes = {section: {key: value}}
        place = f".yaml:{line_of(changes, key if key != 'dense' else 'name')}:"
        refused(f"{section}.{key} = {value}", changes, [place, key if key != "dense" else "name"])
    refused("an unknown section", {"models": {}}, ["models"])
    for argument, said in (
        ("model.embedding_dim=-3", "embedding_dim"),
        ("model.embedding=3", "embedding"),
        ("model", "model"),
        ("model.embedding_dim=[", "model.embedding_dim=["),
    ):
        check_refused(checks, f"--set {argument}", config, folder, [said], ("--set", argument))
    text = folder / "no_yaml.yaml"
    text.write_text("model: {embedding_dim: 4\ntrain: ]\n")
    check_refused(checks, "a configuration that is no YAML", text, folder, ["no_yaml.yaml"])
    check_refused(checks, "a configuration that is not there", folder / "absent.yaml", folder, ["absent.yaml"])
    check_refused(checks, "an unknown argument", config, folder, ["no-such"], ("--no-such",))
    refused("a checkpoint that is not there", {"output": {"resume": str(folder / "gone")}}, ["gone"])
    refused("weights that are not there", {"train": {"init": str(folder / "gone")}}, ["gone"])
    (folder / "weights").write_bytes(b"\xff" * 100)
    refused("weights that are no safetensors", {"train": {"init": str(folder / "weights")}}, ["weights"])
    refused("shares for another number of ranks", {"train": {"batch_shares": [1, 1, 1]}}, ["batch_shares"])
    (folder / "in_the_way").write_text("no folder")
    for what in ("in the way", "in the way/below"):
        place = folder / re.sub(" ", "_", what)
        check_refused(checks, what, config, folder, [str(place)], ("--set", f"output.dir={place}"))


TOPOLOGY = """name: two ranks
links:
  memory: {bandwidth: 4GB/s, latency: 5us, overhead: 1us}
stores:
  memory: {capacity: 1GiB}
domains:
  - name: system
  - name: rank
    parent: system
    count: 2
    links: [memory]
    stores: [memory]
    flops: 50Gflop/s
    work: {hash: 100M/s, gather: 8GB/s, pack: 8GB/s, update: 5GB/s}
"""


def check_systems(checks, lines, folder):
    """Files of topologies and plans."""
    config = harness.merge(CONFIG, {"data": {"train": [harness.write_lines(folder / "good.tsv", lines)]}})
    good = folder / "good.yaml"
    good.write_text(TOPOLOGY)

    def refused(what, key, path, said):
        settings = ("--set", f"{key}={path}") + (() if key == "system.topology" else ("--set", f"system.topology={good}"))
        check_refused(checks, what, config, folder, said, settings)

    def written(name, data):
        (folder / name).write_bytes(data)
        return folder / name

    for name, data in {"empty": b"", "binary": bytes(range(256)) * 20, "no map": b"- 1\n", "no YAML": b"a: [\n"}.items():
        for key in ("system.topology", "placement.plan"):
            refused(f"{name} for {key}", key, written(f"{name} {key}".replace(" ", "_"), data), [f"{name} {key}".replace(" ", "_")])
    for key in ("system.topology", "placement.plan"):
        refused(f"nothing for {key}", key, folder / "absent", ["absent"])
        refused(f"a folder for {key}", key, folder, [str(folder)])
    for what, before, after, said in (
        ("a negative rate", "50Gflop/s", "-50Gflop/s", [":13: ", "flops"]),
        ("a link without bandwidth", "bandwidth: 4GB/s, ", "", [":3: ", "bandwidth"]),
        ("a link that is not there", "links: [memory]", "links: [network]", [":11: ", "network"]),
        ("a cycle of parents", "parent: system", "parent: rank", [":9: ", "parent"]),
        ("more ranks than can be planned for", "count: 2", "count: 2000000000", ["count"]),
        ("another number of ranks", "count: 2", "count: 3", ["3 ranks", "this run 2"]),
        ("more memory than there is anywhere", "1GiB", "99999999999999999999", [":5: ", "capacity"]),
        ("too little memory", "1GiB", "1kB", ["memory needs"]),
    ):
        name = "system_of_" + re.sub(r"\W+", "_", what) + ".yaml"
        own = [] if what in ("another number of ranks", "too little memory") else [name]
        refused(what, "system.topology", written(name, TOPOLOGY.replace(before, after).encode()), own + said)

    harness.train(config, folder / "planned", RANKS, ("--set", f"system.topology={good}"))
    plan = (folder / "planned/start/plan.json").read_text()
    refused("half a plan", "placement.plan", written("half.json", plan[: len(plan) // 2].encode()), ["half.json"])
    for what, before, after in (
        ("a plan of other tables", '"rows": 300', '"rows": 301'),
        ("a plan of another version", '"version": 1', '"version": 2'),
        ("a plan of no table", '"tables": [', '"tables": [], "more": ['),
    ):
        name = re.sub(r"\W+", "_", what) + ".json"
        checks.that(before in plan, f"{before} is in a plan")
        refused(what, "placement.plan", written(name, plan.replace(before, after, 1).encode()), [name])


def check_skipped(checks, lines, folder):
    """3 malformed lines in two files: 2 are too many to allow, 3 are left out, counted and reported."""
    bad = [value[0] for value in bad_lines(lines[500]).values()]
    files = [
        harness.write_lines(folder / "a.tsv", lines[:200] + [bad[0]] + lines[200:600] + [bad[5]]),
        harness.write_lines(folder / "b.tsv", lines[600:601] + [bad[2]] + lines[601:]),
    ]
    config = harness.merge(CONFIG, {"data": {"train": files}, "output": {"report_every": 1}})
    allow = lambda n: harness.merge(config, {"data": {"skip_bad_lines": n}})
    check_refused(checks, "3 malformed lines where 2 are allowed", allow(2), folder, ["skip_bad_lines"])
    clean = harness.write_lines(folder / "clean.tsv", lines)
    expected = harness.train(harness.merge(config, {"data": {"train": [clean]}}), folder / "clean", RANKS)
    checks.equal(expected.summary["skipped_lines"], 0, "malformed lines of a clean file")
    for allowed in (3, 1000):
        found = harness.train(allow(allowed), folder / f"allowed_{allowed}", RANKS)
        checks.equal(found.summary["skipped_lines"], 3, f"malformed lines counted where {allowed} are allowed")
        checks.that("3 malformed lines" in found.errors, "they are reported in the log")
        checks.that(found.losses == expected.losses, "the other lines train as if the malformed ones were not there")


def test(checks, folder):
    lines = harness.make_lines(1200)
    for part in (check_lines, check_files, check_keys, check_systems, check_skipped):
        place = folder / part.__name__
        place.mkdir()
        part(checks, lines, place)


harness.main(test)
