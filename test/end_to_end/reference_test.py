"""Loss, gradients and updates of the program against the float64 NumPy model of reference.py, and against PyTorch where
it is installed: at the initial parameters and after 10 and 100 steps of training."""
import gzip

import numpy

import harness
import reference

BATCH = 128
MAX_ROWS = 997
BAGS = [1, 3, 1, 2] * 6 + [1, 4]
GRADIENT_TOLERANCE = 1e-4  # of the largest gradient of its tensor, and absolutely
CONFIG = {
    "data": {"max_rows": MAX_ROWS},
    "model": {"embedding_dim": 8, "bottom": [24, 16], "top": [32, 16]},
    "train": {"global_batch": BATCH, "seed": 3},
    "system": {"backend": "host", "threads": 1},
    "placement": {"strategy": "held"},
    "output": {"report_every": 1, "resume": "never"},
}


def with_optimizer(config, dense, sparse, rate, accumulator=0.0):
    one = {"lr": rate, "eps": 1e-8, "initial_accumulator": accumulator}
    optimizer = {"dense": {"name": dense, **one}, "sparse": {"name": sparse, **one}}
    return harness.merge(config, {"optimizer": optimizer})


def stop_after(config, steps):
    return harness.merge(config, {"train": {"samples": steps * BATCH}})


def difference(found, expected):
    """Largest difference over the largest expected value; where nothing is expected, over 1."""
    return numpy.abs(found - expected).max() / (numpy.abs(expected).max() or 1)


class Stages:
    """Checkpoints of a training at some steps, and the step that follows each."""

    def __init__(self, config, lines, folder, bag_sizes):
        self.config, self.folder, self.runs = config, folder, 0
        labels, dense, ids = harness.parse_lines(lines, MAX_ROWS)
        bags = [reference.bag_ids(t, ids[:, t], bag_sizes[t], MAX_ROWS) for t in range(harness.TABLES)]
        self.batch = lambda k: tuple(a[k * BATCH : (k + 1) * BATCH] for a in (labels, dense)) + (
            [b[k * BATCH : (k + 1) * BATCH] for b in bags],
        )

    def train(self, config, steps):
        self.runs += 1
        return harness.train(stop_after(config, steps), self.folder / f"run_{self.runs}", 2)

    def before(self, step, train_config):
        """(folder of the checkpoint or None, its arrays) after `step` steps of training."""
        if step == 0:  # a step at learning rate 0 leaves the initial values
            still = with_optimizer(self.config, "sgd", "sgd", 0.0)
            run = self.train(still, 1)
            return None, harness.read_checkpoint(run.checkpoint)
        run = self.train(train_config, step)
        return run.checkpoint, harness.read_checkpoint(run.checkpoint)

    def one_step(self, step, checkpoint, config):
        """(loss, arrays) of the step after `step`."""
        run = self.train(harness.merge(config, {"output": {"resume": str(checkpoint or "never")}}), step + 1)
        return run.losses[step + 1], harness.read_checkpoint(run.checkpoint)


def check_gradients(checks, stages, step, what):
    # (w - w') / rate is the gradient, to the rounding of w' over the rate, so a high rate makes that small. A power of 2
    # adds no rounding of its own.
    rate = 64.0
    train_config = with_optimizer(stages.config, "sgd", "sgd", 0.1)
    checkpoint, before = stages.before(step, train_config)
    loss, after = stages.one_step(step, checkpoint, with_optimizer(stages.config, "sgd", "sgd", rate))
    labels, dense, bags = stages.batch(step)
    expected_loss, gradients = reference.loss_and_gradients(before, labels, dense, bags)
    checks.at_most(abs(loss - expected_loss), 1e-4, f"{what}, step {step}: difference of the loss {loss:.6f}")
    found = {name: (before[name].astype(float) - after[name].astype(float)) / rate for name in gradients}
    worst = {name: difference(found[name], gradients[name]) for name in gradients}
    absolute = max(numpy.abs(found[name] - gradients[name]).max() for name in gradients)
    dense_worst = max(v for name, v in worst.items() if not name.startswith("emb"))
    rows_worst = max(v for name, v in worst.items() if name.startswith("emb"))
    checks.at_most(dense_worst, GRADIENT_TOLERANCE, f"{what}, step {step}: dense gradients, relative difference")
    checks.at_most(rows_worst, GRADIENT_TOLERANCE, f"{what}, step {step}: row gradients, relative difference")
    checks.at_most(absolute, GRADIENT_TOLERANCE, f"{what}, step {step}: all gradients, absolute difference")
    untouched = 0
    for t in range(harness.TABLES):
        name = f"emb_l.{t}.weight"
        rest = numpy.setdiff1d(numpy.arange(MAX_ROWS), bags[t])
        untouched += not numpy.array_equal(before[name][rest], after[name][rest])
    checks.equal(untouched, 0, f"{what}, step {step}: tables with rows that moved although no sample looked them up")
    smallest = min(numpy.abs(gradients[f"emb_l.{t}.weight"]).max() for t in range(harness.TABLES))
    checks.that(smallest > 1e-6, f"{what}, step {step}: every table has gradients worth comparing")
    return before, (labels, dense, bags), expected_loss, gradients


def check_adagrad(checks, stages, step, sparse):
    """Updates and accumulators after a step, in proportion to the largest update. From accumulators of 0 the first update
    of a parameter is the sign of its gradient, whatever its size: gradients lost in rounding are left out there."""
    config = with_optimizer(stages.config, "adagrad", sparse, 0.05, 0.0)
    checkpoint, before = stages.before(step, config)
    _, after = stages.one_step(step, checkpoint, config)
    _, gradients = reference.loss_and_gradients(before, *stages.batch(step))
    update_worst = state_worst = 0.0
    for name, gradient in gradients.items():
        kind = sparse if name.startswith("emb") else "adagrad"
        if step == 0:
            state = numpy.zeros((len(gradient), 1) if kind == "rowwise_adagrad" else gradient.shape)
        else:
            state = before["state." + name].astype(float)
        weight = before[name].astype(float)
        expected, expected_state = reference.update(kind, 0.05, 1e-8, weight, state, gradient)
        heard = (gradient == 0) | (numpy.abs(gradient) > 1e-4 * numpy.abs(gradient).max())
        move = (expected - weight) * heard
        update_worst = max(update_worst, difference((after[name].astype(float) - weight) * heard, move))
        state_worst = max(state_worst, difference(after["state." + name], expected_state))
    what = f"Adagrad and {sparse} of rows, step {step}"
    # Updates of up to 0.05 are read off parameters of size 1 or less: 2^-24 / 0.05 = 1.2e-6. A gradient of 1e-4 of the
    # largest may be off by 1e-2 of itself in the check of gradients above; in fp32 it is off by about 1e-3.
    checks.at_most(update_worst, 1e-3, f"{what}: updates, relative difference")
    checks.at_most(state_worst, 1e-4, f"{what}: accumulators, relative difference")


def check_initial_values(checks, arrays):
    """Distributions as in facebookresearch/dlrm; bounds are five standard errors of the estimate."""
    for name, values in arrays.items():
        if name.startswith("emb_l"):
            bound = numpy.sqrt(1 / MAX_ROWS)
            ok = numpy.abs(values).max() <= bound and abs(values.std() / (bound / numpy.sqrt(3)) - 1) < 0.05
        else:
            expected = numpy.sqrt(2 / sum(values.shape) if values.ndim == 2 else 1 / values.size)
            ok = abs(values.std() / expected - 1) < 5 / numpy.sqrt(2 * values.size) or values.size == 1
        if not ok:
            checks.that(False, f"initial values of {name}: {values.std()}")
    names = [name for name in arrays if not name.startswith("emb_l")]
    checks.equal(len(names), 12, "dense parameters with initial values of the right spread")


def check_pytorch(checks, arrays, batch, loss, gradients):
    try:
        import torch
    except ImportError:
        print("SKIPPED: the comparison with PyTorch, which is not installed")
        return
    labels, dense, bags = (torch.tensor(batch[0]), torch.tensor(batch[1]), [torch.tensor(b) for b in batch[2]])
    p = {n: torch.tensor(v.astype(float), requires_grad=True) for n, v in arrays.items() if not n.startswith("state.")}

    def mlp(prefix, x, relu_last):
        names = [n[: -len(".weight")] for n in p if n.startswith(prefix) and n.endswith(".weight")]
        names.sort(key=lambda n: int(n.split(".")[1]))
        for n in names:
            x = torch.nn.functional.linear(x, p[n + ".weight"], p[n + ".bias"])
            x = torch.relu(x) if relu_last or n != names[-1] else x
        return x

    x = mlp("bot_l", dense, True)
    pooled = [torch.nn.functional.embedding_bag(b, p[f"emb_l.{t}.weight"], mode="sum") for t, b in enumerate(bags)]
    vectors = torch.stack([x] + pooled, dim=1)
    products = torch.bmm(vectors, vectors.transpose(1, 2))
    row, column = torch.tril_indices(len(bags) + 1, len(bags) + 1, offset=-1)
    logits = mlp("top_l", torch.cat([x, products[:, row, column]], dim=1), False)[:, 0]
    torch_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    torch_loss.backward()
    checks.at_most(abs(torch_loss.item() - loss), 1e-9, "PyTorch in float64: difference of the loss from NumPy's")
    worst = max(difference(p[name].grad.numpy(), gradients[name]) for name in gradients)
    checks.at_most(worst, 1e-9, "PyTorch in float64: gradients, relative difference from NumPy's")


def test(checks, folder):
    lines = harness.make_lines(BATCH * 101)
    config = harness.merge(CONFIG, {"data": {"train": [harness.write_lines(folder / "rows.tsv", lines)]}})
    stages = Stages(config, lines, folder / "one", [1] * harness.TABLES)
    for step in (0, 10, 100):
        found = check_gradients(checks, stages, step, "one lookup per bag")
        if step == 0:
            check_initial_values(checks, found[0])
    check_pytorch(checks, *found)
    for step in (0, 10):
        check_adagrad(checks, stages, step, "adagrad")
        check_adagrad(checks, stages, step, "rowwise_adagrad")
    stages = Stages(harness.merge(config, {"data": {"bag_sizes": BAGS}}), lines, folder / "several", BAGS)
    for step in (0, 10):
        found = check_gradients(checks, stages, step, "bags of several lookups")
    check_pytorch(checks, *found)

    real = harness.SHARED / "data/kaggle_sample.tsv.gz"
    if not real.exists():
        print(f"SKIPPED: the same on real rows; {real} is not there")
        return
    with gzip.open(real, "rt") as file:
        lines = [file.readline() for _ in range(BATCH * 11)]
    config = harness.merge(CONFIG, {"data": {"train": [harness.write_lines(folder / "real.tsv", lines)]}})
    stages = Stages(config, lines, folder / "real", [1] * harness.TABLES)
    for step in (0, 10):
        check_gradients(checks, stages, step, "real rows")


harness.main(test)
