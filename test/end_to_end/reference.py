"""A DLRM in float64 NumPy, written from the model's description alone (Naumov et al., "Deep learning recommendation model
for personalization and recommendation systems", arXiv 1906.00091): the loss, its gradients, and the three optimisers."""
import numpy


def bag_ids(table, ids, size, rows):
    """(n, size) lookups for the ids (n) of a table: the id itself, then hashes of it; mix64 is splitmix64's last part."""
    mask = (1 << 64) - 1

    def mix64(x):
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    def lookup(j, i):
        return mix64(mix64(table << 32 | j) ^ i) * rows >> 64

    return numpy.array([[int(i)] + [lookup(j, int(i)) for j in range(1, size)] for i in ids])


def layers(parameters, prefix):
    """[(weight, bias)] of an MLP whose linear layers are numbered 0, 2, 4, ..."""
    found = []
    while f"{prefix}.{2 * len(found)}.weight" in parameters:
        name = f"{prefix}.{2 * len(found)}"
        found.append((name, parameters[name + ".weight"], parameters[name + ".bias"]))
    return found


def mlp_forward(mlp, x, relu_last):
    kept = []
    for i, (_, weight, bias) in enumerate(mlp):
        kept.append(x)
        x = x @ weight.T + bias
        if relu_last or i + 1 < len(mlp):
            x = numpy.maximum(x, 0)
    return x, kept


def mlp_backward(mlp, kept, dy, gradients):
    """dy: gradient of the last layer before its ReLU. Returns the gradient of the input."""
    for i in reversed(range(len(mlp))):
        name, weight, _ = mlp[i]
        gradients[name + ".weight"] = dy.T @ kept[i]
        gradients[name + ".bias"] = dy.sum(axis=0)
        dy = dy @ weight
        if i > 0:
            dy = dy * (kept[i] > 0)
    return dy


def loss_and_gradients(parameters, labels, dense, bags):
    """Mean binary cross-entropy and {name: gradient}. bags: per table the lookups (n, size)."""
    p = {name: values.astype(numpy.float64) for name, values in parameters.items() if not name.startswith("state.")}
    n, tables = len(labels), len(bags)
    bottom, top = layers(p, "bot_l"), layers(p, "top_l")
    x, kept_bottom = mlp_forward(bottom, dense, True)
    vectors = numpy.stack([x] + [p[f"emb_l.{t}.weight"][bags[t]].sum(axis=1) for t in range(tables)], axis=1)
    products = vectors @ vectors.transpose(0, 2, 1)
    row, column = numpy.tril_indices(tables + 1, -1)
    z = numpy.concatenate([x, products[:, row, column]], axis=1)
    logits, kept_top = mlp_forward(top, z, False)
    logits = logits[:, 0]
    loss = numpy.mean(numpy.logaddexp(0, logits) - labels * logits)

    gradients = {}
    dlogits = (1 / (1 + numpy.exp(-logits)) - labels) / n
    dz = mlp_backward(top, kept_top, dlogits[:, None], gradients)
    dim = x.shape[1]
    dproducts = numpy.zeros_like(products)
    dproducts[:, row, column] = dz[:, dim:]
    dvectors = (dproducts + dproducts.transpose(0, 2, 1)) @ vectors
    dx = (dvectors[:, 0] + dz[:, :dim]) * (x > 0)
    mlp_backward(bottom, kept_bottom, dx, gradients)
    for t in range(tables):
        gradient = numpy.zeros_like(p[f"emb_l.{t}.weight"])
        for j in range(bags[t].shape[1]):
            numpy.add.at(gradient, bags[t][:, j], dvectors[:, 1 + t])
        gradients[f"emb_l.{t}.weight"] = gradient
    return loss, gradients


def update(kind, rate, eps, weight, state, gradient):
    """(weight, state) after one step. state: same shape as weight (adagrad), or one per row (rowwise_adagrad). A row
    whose gradient is zero does not move."""
    if kind == "sgd":
        return weight - rate * gradient, None
    squares = gradient**2 if kind == "adagrad" else (gradient**2).mean(axis=1, keepdims=True)
    state = state + squares
    with numpy.errstate(invalid="ignore"):  # 0 / 0 where nothing was ever added and eps is lost
        step = numpy.where(gradient == 0, 0, gradient / (numpy.sqrt(state) + eps))
    return weight - rate * step, state
