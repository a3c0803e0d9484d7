"""The same training however it is run: any number of ranks, the same run twice, text or gzip or npy, stopped and
continued, overlapped or sequential, rows in memory or on disk. The bounds are those of the definition of "same training" (one step from identical parameters: loss within
1e-6, parameters within 1e-5 relative; 20 steps of SGD at learning rate 0.01: losses within 1e-5; AUC within 0.001)."""
import gzip

import harness

BATCH = 250  # divides by neither 3, 4 nor 7
RANKS = (2, 3, 4, 7)
SGD = {"name": "sgd", "lr": 0.01}
# From an accumulator of 0 Adagrad's first update is g / (|g| + 1e-8), which jumps at g = 0: there the order of a sum may
# decide about a parameter. An accumulator to begin with makes it smooth.
SMOOTH = {"lr": 0.02, "initial_accumulator": 0.0001}
OPTIMIZERS = {
    "SGD": {"dense": {"name": "sgd", "lr": 0.1}, "sparse": {"name": "sgd", "lr": 0.1}},
    "Adagrad": {"dense": {"name": "adagrad", **SMOOTH}, "sparse": {"name": "rowwise_adagrad", **SMOOTH}},
}
CONFIG = {
    "data": {"max_rows": 2000, "eval_tail": 6000},
    "model": {"embedding_dim": 8, "bottom": [32, 16], "top": [32]},
    "train": {"global_batch": BATCH, "epochs": 1, "seed": 5},
    "system": {"backend": "host", "threads": 1},
    "placement": {"strategy": "held"},  # a plan would depend on measured rates, and so bits on the clock
    "output": {"report_every": 1, "resume": "never"},
}


def largest(losses, expected):
    assert losses.keys() == expected.keys() and losses
    return max(abs(losses[step] - expected[step]) for step in losses)


def check_one_step(checks, name, optimizer, config, folder):
    config = harness.merge(config, {"data": {"eval_tail": 0}, "optimizer": optimizer})
    for step in (0, 10, 100):
        start = "never"
        if step > 0:
            until = harness.merge(config, {"train": {"samples": step * BATCH}})
            start = str(harness.train(until, folder / f"until_{step}").checkpoint)
        one_more = {"train": {"samples": (step + 1) * BATCH}, "output": {"resume": start}}
        expected = harness.train(harness.merge(config, one_more), folder / f"one_{step}")
        arrays = harness.read_checkpoint(expected.checkpoint)
        for ranks in RANKS:
            found = harness.train(harness.merge(config, one_more), folder / f"one_{step}_on_{ranks}", ranks)
            what = f"one step of {name} from step {step} on {ranks} ranks and on 1"
            loss = abs(found.losses[step + 1] - expected.losses[step + 1])
            checks.at_most(loss, 1e-6, f"{what}: loss")
            difference = harness.relative_difference(harness.read_checkpoint(found.checkpoint), arrays)
            checks.at_most(difference, 1e-5, f"{what}: parameters and state")


def check_ranks(checks, config, folder):
    sgd = harness.merge(config, {"optimizer": {"dense": SGD, "sparse": SGD}, "train": {"samples": 20 * BATCH}})
    whole = {ranks: harness.train(config, folder / f"whole_{ranks}", ranks) for ranks in (1,) + RANKS}
    short = {ranks: harness.train(sgd, folder / f"short_{ranks}", ranks) for ranks in (1,) + RANKS}
    checks.equal(len(short[1].losses), 20, "steps of the short runs")
    checks.at_least(whole[1].auc, 0.6, "AUC of the whole run, so that it has learnt what could differ")
    for ranks in RANKS:
        checks.at_most(largest(short[ranks].losses, short[1].losses), 1e-5, f"losses of 20 steps on {ranks} ranks and on 1")
        checks.at_most(abs(whole[ranks].auc - whole[1].auc), 1e-3, f"AUC after an epoch on {ranks} ranks and on 1")
        checks.equal(whole[ranks].summary["samples"], whole[1].summary["samples"], f"samples trained on {ranks} ranks")
    return whole


def check_bits(checks, config, folder, whole):
    for ranks in (1, 3):
        again = harness.train(config, folder / f"again_{ranks}", ranks)
        checks.that(again.losses == whole[ranks].losses, f"the same run twice on {ranks} ranks: identical losses")
        same = harness.same_bytes(again.checkpoint, whole[ranks].checkpoint)
        checks.that(same, f"the same run twice on {ranks} ranks: identical bytes of the checkpoint")
        checks.equal(again.auc, whole[ranks].auc, f"the same run twice on {ranks} ranks: AUC")


def check_resume(checks, config, folder):
    for name, changes in (("in order", {}), ("shuffled", {"data": {"shuffle_window": 4000}})):
        changed = harness.merge(config, {"train": {"epochs": 2}, **changes})
        whole = harness.train(changed, folder / f"{name}_whole", 3)
        # Stops in the second pass, then goes on by itself from what it finds in the folder.
        stopped = harness.merge(changed, {"output": {"resume": "auto"}, "train": {"samples": 75 * BATCH}})
        harness.train(stopped, folder / f"{name}_stopped", 3)
        rest = harness.train(harness.merge(changed, {"output": {"resume": "auto"}}), folder / f"{name}_stopped", 3)
        checks.that(rest.losses == whole.losses, f"stopped and continued, {name}: identical losses")
        same = harness.same_bytes(rest.checkpoint, whole.checkpoint)
        checks.that(same, f"stopped and continued, {name}: identical bytes of the checkpoint")
        checks.equal(rest.auc, whole.auc, f"stopped and continued, {name}: AUC")
        # The same from a checkpoint on the way, into another folder.
        on_the_way = harness.merge(changed, {"output": {"checkpoint_every": 25 * BATCH, "keep": 10}})
        harness.train(on_the_way, folder / f"{name}_on_the_way", 3)
        middle = sorted((folder / f"{name}_on_the_way/checkpoints").iterdir())[1]
        rest = harness.train(harness.merge(changed, {"output": {"resume": str(middle)}}), folder / f"{name}_rest", 3)
        same = harness.same_bytes(rest.checkpoint, whole.checkpoint)
        checks.that(same, f"continued from {middle.name}, {name}: identical bytes of the checkpoint")


STAR = str(harness.REPOSITORY / "configs/topologies/star-1-3.yaml")
# Ranks and what else is set: each run overlapped and sequential.
SYSTEMS = {
    "held": (1, {}),
    "held by one, bf16 on the wire": (2, {"placement": {"strategy": "table_wise"}, "system": {"wire": "bf16"}}),
    "replicated": (3, {"placement": {"strategy": "replicated"}}),
    "all rows on a server without samples": (
        4,
        {"placement": {"strategy": "fetched"}, "train": {"batch_shares": [0, 1, 1, 1]}, "system": {"topology": STAR}},
    ),
    "fetched from disk": (5, {"placement": {"strategy": "fetched"}, "system": {"device_memory": "16MB"}}),
    "held, evaluated and saved on the way": (6, {"train": {"eval_every": 1500}, "output": {"checkpoint_every": 2000, "keep": 1}}),
    "shuffled": (7, {"data": {"shuffle_window": 4000}}),
    "row-wise": (8, {"placement": {"strategy": "row_wise"}}),
}


def check_overlapped(checks, config, folder):
    """Each with Adagrad, over two passes: the lanes meet at the end of a pass, too."""
    for i, (name, (ranks, changes)) in enumerate(SYSTEMS.items()):
        changed = harness.merge(config, {"optimizer": OPTIMIZERS["Adagrad"], "train": {"epochs": 2}})
        changed = harness.merge(changed, changes)
        runs = {}
        for pipeline in ("sequential", "overlapped"):
            own = harness.merge(changed, {"system": {"pipeline": pipeline}})
            runs[pipeline] = harness.train(own, folder / f"{pipeline}_{i}", ranks)
        overlapped, sequential = runs["overlapped"], runs["sequential"]
        what = f"overlapped and sequential on {ranks} ranks, {name}"
        if name == "fetched from disk":
            checks.at_least(overlapped.summary["store_bytes_per_iteration"]["read"], 1, f"{what}: bytes read")
        checks.that(overlapped.summary["pipeline"]["overlapped"] and not sequential.summary["pipeline"]["overlapped"], f"{what}: are that")
        checks.that(overlapped.losses == sequential.losses and overlapped.losses, f"{what}: identical losses")
        checks.that(harness.same_bytes(overlapped.checkpoint, sequential.checkpoint), f"{what}: identical bytes of the checkpoint")
        checks.equal(overlapped.auc, sequential.auc, f"{what}: AUC")


def check_formats(checks, lines, config, folder):
    """The same samples as one text, two gzip files and three npy triplets; values below 2^31, which npy can hold."""
    small = []
    for line in lines[:6000]:
        fields = line.rstrip("\n").split("\t")
        fields[14:] = [f"{int(x, 16) % 2**31:08x}" if x else "" for x in fields[14:]]
        small.append("\t".join(fields) + "\n")
    text = [harness.write_lines(folder / "all.tsv", small)]
    zipped = []
    for i, part in enumerate((small[:2500], small[2500:])):
        zipped.append(str(folder / f"part_{i}.tsv.gz"))
        with gzip.open(zipped[-1], "wt") as file:
            file.write("".join(part))
    arrays = []
    for i, part in enumerate((small[:1], small[1:3333], small[3333:])):
        arrays.append(harness.write_npy_triplet(folder / f"part_{i}", part))
    days = [harness.write_lines(folder / "day_0", small[:100]), harness.write_lines(folder / "day_1", small[100:])]
    runs = {}
    for name, files in (("text", text), ("gzip", zipped), ("npy", arrays), ("days", days)):
        changed = harness.merge(config, {"data": {"train": files, "eval_tail": 1000}})
        runs[name] = harness.train(changed, folder / f"from_{name}", 2)
    for name in ("gzip", "npy", "days"):
        checks.that(runs[name].losses == runs["text"].losses, f"{name} and text: identical losses")
        checks.equal(runs[name].auc, runs["text"].auc, f"{name} and text: AUC")
    scratch = list((folder / "from_gzip/scratch").rglob("*.tsv"))
    checks.equal(scratch, [], "decompressed copies left behind")


def test(checks, folder):
    lines = harness.make_lines(20000)
    files = [harness.write_lines(folder / "a.tsv", lines[:7001]), harness.write_lines(folder / "b.tsv", lines[7001:])]
    config = harness.merge(CONFIG, {"data": {"train": files}})
    whole = check_ranks(checks, config, folder / "ranks")
    check_bits(checks, config, folder / "ranks", whole)
    more = harness.make_lines(101 * BATCH, seed=2)
    long_config = harness.merge(CONFIG, {"data": {"train": [harness.write_lines(folder / "long.tsv", more)]}})
    for name, optimizer in OPTIMIZERS.items():
        check_one_step(checks, name, optimizer, long_config, folder / name)
    (folder / "formats").mkdir()
    check_formats(checks, lines, config, folder / "formats")
    check_resume(checks, config, folder / "resume")
    short = [harness.write_lines(folder / "short.tsv", lines[:4100])]
    check_overlapped(checks, harness.merge(CONFIG, {"data": {"train": short, "eval_tail": 500}}), folder / "overlapped")


harness.main(test)
