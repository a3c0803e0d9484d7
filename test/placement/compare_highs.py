"""The optimiser against a general linear programming solver: HiGHS, through SciPy.

usage: compare_highs.py DUMP_INSTANCES [COUNT [SEED]]

The programme is built here from the formulas of the theory alone, on explicit trees: every instance of every domain is a vertex of its
own, costs are summed over vertices, and nothing is shared with the C++ code. For every set of stages and stores that pay latency one
programme is solved; the least optimum must equal the optimiser's, before rounding, within 1e-6. Exit code 77: SciPy is not there.
"""
import itertools
import json
import math
import subprocess
import sys

try:
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

INF = float("inf")


class Vertex:
    def __init__(self, kind, parent, level):
        self.kind, self.parent, self.level, self.children = kind, parent, level, []


class System:
    """The tree with every instance explicit."""

    def __init__(self, instance):
        self.domains = instance["domains"]
        self.vertices = []
        self.grow(0, None, 0)
        self.depth = max(v.level for v in self.vertices)
        self.ranks = [v for v in self.vertices if v.level == self.depth]
        total = sum(self.domains[r.kind]["batch_weight"] for r in self.ranks)
        for v in self.vertices:
            v.ranks = [r for r in self.ranks if self.inside(r, v)]
            v.batch = instance["batch"] * sum(self.domains[r.kind]["batch_weight"] for r in v.ranks) / total
        for v in self.vertices:
            v.sigma = len(v.ranks) / len(v.parent.ranks) if v.parent else 1.0

    def grow(self, kind, parent, level):
        vertex = Vertex(kind, parent, level)
        self.vertices.append(vertex)
        for child, domain in enumerate(self.domains):
            if domain["parent"] == kind:
                for _ in range(domain["count"]):
                    vertex.children.append(self.grow(child, vertex, level + 1))
        return vertex

    def up(self, v, level):
        while v.level > level:
            v = v.parent
        return v

    def inside(self, v, outer):
        return v.level >= outer.level and self.up(v, outer.level) is outer

    def turns(self, e, a):
        """That a row's copies in e speak for a: at every domain on the way the children take turns by row."""
        product = 1.0
        while e is not a:
            product /= len(e.parent.children)
            e = e.parent
        return product

    def rho(self, e, a):
        product = 1.0
        while e is not a:
            product *= e.sigma
            e = e.parent
        return product


def options_of(system):
    """(level, dense, {kind of copy domain: (kind, store)})."""
    kinds_at = [[] for _ in range(system.depth + 1)]
    for v in system.vertices:
        if v.kind not in kinds_at[v.level]:
            kinds_at[v.level].append(v.kind)
    def below(kind, outer):
        while kind != -1 and kind != outer:
            kind = system.domains[kind]["parent"]
        return kind == outer
    rank_kinds = set(kinds_at[system.depth])
    result = []
    for level in range(system.depth + 1):
        choices = []
        for outer in sorted(kinds_at[level]):
            choices.append([(kind, s) for kind in range(len(system.domains)) if below(kind, outer)
                            for s in range(len(system.domains[kind]["stores"]))])
        for combination in itertools.product(*choices):
            sites = dict(zip(sorted(kinds_at[level]), combination))
            device = all(kind in rank_kinds and store == 0 for kind, store in combination)
            for dense in ([False, True] if level > 0 and device else [False]):
                result.append((level, dense, sites))
    return result, rank_kinds


class Costs:
    """What one row of given probability adds, per option: bytes by (flow, stage, vertex, direction), work, memory."""

    def __init__(self, system, instance, direct):
        self.s, self.i, self.direct = system, instance, direct

    def holder_share(self, site, copy, x):
        kind, _ = site
        slots = [v for v in self.s.vertices if v.kind == kind and self.s.inside(v, copy)]
        total = 0.0
        for slot in slots:
            if self.s.inside(slot, x):
                total += 1.0
            elif self.s.inside(x, slot):
                total += self.s.rho(x, slot)
        return total / len(slots)

    def same_places(self, level, sites):
        """Whether all copy domains deal their rows over as many ranks: only then have sets of ranks the same rows to sum whole."""
        places = set()
        for copy in (x for x in self.s.vertices if x.level == level):
            slots = [x for x in self.s.vertices if x.kind == sites[copy.kind][0] and self.s.inside(x, copy)]
            places.add(sum(len(x.ranks) for x in slots))
        return len(places) == 1

    def add(self, key, value):
        if value:
            self.out[key] = self.out.get(key, 0.0) + value

    def exchange(self, prefix, stage, e, inwards, amount, table, dirty_amount):
        w, identity = table["wire_bytes"], self.i["id_bytes"]
        back = "out" if inwards else "in"
        here = "in" if inwards else "out"
        self.add((prefix + "rows", stage, e, here), amount * w)
        self.add((prefix + "gradients", stage, e, back), amount * w)
        self.add((prefix + "ids", stage, e, back), amount * identity)
        for when, part in (("dirty ", dirty_amount), ("clean ", amount - dirty_amount)):
            self.add((when + prefix + "rows", stage, e, here), part * w)
            self.add((when + prefix + "gradients", stage, e, back), part * w)

    def row(self, table, p, option):
        s, level, sites = self.s, option[0], option[2]
        dense = option[1] and self.same_places(level, sites)
        self.out = {}
        draws = table["lookups"]
        v = {x: -math.expm1(draws * x.batch * math.log1p(-p)) if p < 1 else float(x.batch > 0) for x in s.vertices}
        u = v[s.vertices[0]]
        dirty = u if level == 0 else 1.0  # of a row with one copy, what the batch before updates; several copies always wait
        share = {}
        for copy in (x for x in s.vertices if x.level == level):
            for x in s.vertices:
                if s.inside(x, copy):
                    share[x] = self.holder_share(sites[copy.kind], copy, x)
        for a in s.vertices:
            if a.level <= level:
                continue
            siblings = [b for b in a.parent.children if b is not a]
            for e in s.vertices:
                if not s.inside(e, a):
                    continue
                if self.direct:
                    foreign = share[a.parent] - share[a]
                    own = sum(v[r] for r in e.ranks) * foreign
                    self.exchange("direct ", a.level, e, True, own, table, dirty * own)
                    asked = share[e] * sum(v[r] for b in siblings for r in b.ranks)
                    self.exchange("direct ", a.level, e, False, asked, table, dirty * asked)
                else:
                    source = share[a] + (1 - share[a.parent]) * a.sigma
                    into = v[a] * (1 - source) * s.rho(e, a)
                    self.exchange("", a.level, e, True, into, table, dirty * into)
                    leave = (share[e] + (1 - share[a.parent]) * a.sigma * s.rho(e, a)) * sum(v[b] for b in siblings)
                    self.exchange("", a.level, e, False, leave, table, dirty * leave)
        size = table["wire_bytes"] + (0 if dense else self.i["id_bytes"])
        self.reduce(level, dense, size, v, u, lambda x: share[x])
        self.stores_and_work(table, p, option, v, u, share)
        return self.out

    def reduce(self, level, dense, size, v, u, share_of, names=("", "row ")):
        s = self.s
        touched = (lambda x: float(x.batch > 0)) if dense else (lambda x: v[x])
        anywhere = 1.0 if dense else u
        for a in s.vertices:
            if not 1 <= a.level <= level:
                continue
            siblings = [b for b in a.parent.children if b is not a]
            for e in s.vertices:
                if not s.inside(e, a):
                    continue
                top = s.up(e, min(e.level, level))
                z = s.turns(top, a) * (share_of(e) if e.level > level else 1.0) * size
                turn = 1 / len(a.parent.children)
                for name in names:
                    self.add((name + "up", a.level, e, "out"), touched(a) * (1 - turn) * z)
                    self.add((name + "up", a.level, e, "in"), turn * sum(touched(b) for b in siblings) * z)
                    self.add((name + "down", a.level, e, "in"), (1 - turn) * anywhere * z)
                    self.add((name + "down", a.level, e, "out"), turn * len(siblings) * anywhere * z)

    def stores_and_work(self, table, p, option, v, u, share):
        s, level, sites = self.s, option[0], option[2]
        dense = option[1] and self.same_places(level, sites)
        stored = table["row_bytes"] + table["state_bytes"]
        for copy in (x for x in s.vertices if x.level == level):
            kind, store = sites[copy.kind]
            slots = [x for x in s.vertices if x.kind == kind and s.inside(x, copy)]
            for slot in slots:
                self.add(("memory", slot, store), stored / len(slots))
                if not (slot.level == s.depth and store == 0):
                    granule = s.domains[kind]["stores"][store]["granule"]
                    block = math.ceil(stored / granule) * granule
                    while block // stored * stored < 0.75 * block:
                        block += granule
                    largest = max(x["granule"] for domain in s.domains for x in domain["stores"])
                    rows = block // stored if granule == largest else 1
                    read, changed = ((1 - (1 - q) ** rows) / rows * block / len(slots) for q in (v[copy], u))
                    self.add(("read", slot, store), read)
                    self.add(("write", slot, store), 2 * changed - read)
            for r in copy.ranks:
                self.add(("bags", r), table["lookups"] * r.batch * p * table["row_bytes"])
                dirty = u if level == 0 else 1.0
                if level < s.depth:
                    asked = share[r] * (sum(v[q] for q in copy.ranks) if self.direct else v[copy]) * table["row_bytes"]
                    self.add(("dirty gather", r), dirty * asked)
                    self.add(("clean gather", r), (1 - dirty) * asked)
                updated = share[r] * stored * (1.0 if dense else u)
                self.add(("dirty update", r), dirty * updated)
                self.add(("clean update", r), (1 - dirty) * updated)
                if level > 0 and not dense:
                    self.add(("listed", r), 2 * share[r] * (v[copy] + u))


def time_rows(system, instance, direct, use):
    """Rows of the time model: (group, constant, {key: seconds per unit}). use: which messages and stores pay latency."""
    rows = []
    prefix = "direct " if direct else ""
    d = system.domains
    flops = {r: instance["flops_per_sample"] * r.batch / (d[r.kind]["flops"] or INF) for r in system.ranks}

    def messages(e, stage, staged):
        a = system.up(e, stage)
        peers = len(a.parent.children) - 1 if staged else len(a.parent.ranks) - len(a.ranks)
        return len(e.ranks) * peers

    def ports(group, flow, stages, staged, kind):
        for e in system.vertices[1:]:
            for port in d[e.kind]["ports"]:
                carried = [j for j in stages if j <= e.level]
                if not carried:
                    continue
                for way in ("in", "out"):
                    constant, on = 0.0, False
                    for j in carried:
                        if use(kind, j):
                            constant += port["overhead"] * messages(e, j, staged)
                            on = on or j == carried[-1]
                    constant += port["latency"] if on else 0.0
                    rows.append((group, constant, {(flow, j, e, way): 1 / port[way] for j in carried}))

    stages = range(1, system.depth + 1)

    def exchange(tag, flow, when="", kind="exchange"):
        if direct:
            ports((tag, "direct"), when + "direct " + flow, list(stages), False, kind)
        else:
            for j in stages:
                ports((tag, j), when + flow, [j], True, kind)

    def reduction(tag, name, kind):
        for j in stages:
            ports((tag + " up", j), name + "up", [j], True, kind)
            ports((tag + " down", j), name + "down", [j], True, kind)

    def packed(flows):
        return [("pack", (f, j, way)) for f in flows for j in stages for way in ("in", "out")]

    def worked(*names):
        return [(name.split()[-1] if name != "bags" else "gather", name) for name in names]

    def work(group, items, constant=lambda r: 0.0):
        """One row per rank: items are (rate, key without the rank)."""
        for r in system.ranks:
            terms = {}
            for rate, key in items:
                if d[r.kind][rate]:
                    key = (key, r) if isinstance(key, str) else (key[0], key[1], r, key[2])
                    terms[key] = terms.get(key, 0.0) + 1 / d[r.kind][rate]
            rows.append((group, constant(r), terms))

    lookups = sum(t["lookups"] for t in instance["tables"])

    def hashed(group, items=(), constant=lambda r: 0.0):
        work(group, list(items), lambda r: constant(r) + (lookups * r.batch / d[r.kind]["hash"] if d[r.kind]["hash"] else 0.0))
        received = rows[-len(system.ranks):]
        for r, (_, _, terms) in zip(system.ranks, received):
            for j in stages:
                if d[r.kind]["hash"]:
                    terms[(prefix + "ids", j, r, "in")] = 1 / d[r.kind]["hash"] / instance["id_bytes"]
            if d[r.kind]["lists"]:
                terms[("listed", r)] = 1 / d[r.kind]["lists"]

    rows_all = ["dirty " + prefix + "rows", "clean " + prefix + "rows"]
    gradients_all = ["dirty " + prefix + "gradients", "clean " + prefix + "gradients"]
    if not instance["overlapped"]:
        hashed("hash")
        exchange("ids", "ids")
        work("gather", worked("bags", "dirty gather", "clean gather") + packed(rows_all))
        exchange("forward", "rows")
        work("pack", packed(gradients_all + ["up", "down"]))
        exchange("backward", "gradients")
        reduction("copies", "", "reduce")
        work("update", worked("dirty update", "clean update", "dense update"))
    else:
        # Beside compute: what the batch before does not touch.
        work("A pack", packed(["clean " + prefix + "gradients"]))
        exchange("A late gradients", "gradients", "clean ", "clean")
        work("A update", worked("clean update"))
        hashed("A hash")
        exchange("A ids", "ids")
        work("A gather", worked("clean gather") + packed(["clean " + prefix + "rows"]))
        exchange("A clean rows", "rows", "clean ", "clean")
        hashed("share A", worked("bags", "clean gather", "clean update") +
               packed(["clean " + prefix + "gradients", "clean " + prefix + "rows"]), lambda r: flops[r])
        # Behind the backward pass: the others, and the dense parameters.
        dirty_flows = ["dirty " + prefix + "gradients", "row up", "row down"]
        work("B pack", packed(dirty_flows))
        exchange("B gradients", "gradients", "dirty ")
        reduction("B copies", "row ", "copies")
        work("B update", worked("dirty update"))
        work("B gather", worked("dirty gather") + packed(["dirty " + prefix + "rows"]))
        exchange("B rows", "rows", "dirty ")
        work("C pack", packed(["dense up", "dense down"]))
        reduction("C dense", "dense ", "dense")
        work("C update", worked("dense update"))
        work("share B", worked("dirty gather", "dirty update", "dense update") +
             packed(dirty_flows + ["dirty " + prefix + "rows", "dense up", "dense down"]))
        for e in system.vertices[1:] if instance["dense_bytes"] else []:
            for port in d[e.kind]["ports"]:
                for way in ("in", "out"):
                    terms, constant = {}, 0.0
                    for j in range(1, e.level + 1):
                        for f, kind, staged in (("dirty " + prefix + "rows", "exchange", not direct),
                                                ("dirty " + prefix + "gradients", "exchange", not direct),
                                                ("row up", "copies", True), ("row down", "copies", True),
                                                ("dense up", "dense", True), ("dense down", "dense", True)):
                            terms[(f, j, e, way)] = 1 / port[way]
                            if use(kind, j):
                                constant += port["overhead"] * messages(e, j, staged)
                    rows.append(("share B", constant, terms))
    for x in system.vertices:
        for n, store in enumerate(d[x.kind]["stores"]):
            if x.level == system.depth and n == 0:
                continue
            latency = store["latency"] if use("store", (x.kind, n)) else 0.0
            if instance["overlapped"]:
                rows.append(("share A + B", 0.0, {("read", x, n): 1 / store["rate"], ("write", x, n): 1 / store["rate"]}))
            else:
                rows.append(("fetch", latency, {("read", x, n): 1 / store["rate"]}))
                rows.append(("write back", latency, {("write", x, n): 1 / store["rate"]}))
    return rows, max(flops.values())


def sparse(rows, columns):
    i = [k for k, row in enumerate(rows) for _ in row]
    j = [column for row in rows for column in row]
    return csr_matrix(([value for row in rows for value in row.values()], (i, j)), shape=(len(rows), columns))


def solve_one(instance, system, direct, options, columns, base, use):
    rows, compute = time_rows(system, instance, direct, use)
    groups = sorted({g for g, _, _ in rows}, key=str)
    classes = [(t, c) for t, table in enumerate(instance["tables"]) for c in range(len(table["rows"]))]
    index = {}
    for t, c in classes:
        for o in options:
            index[(t, c, o)] = len(index)
    tau = {g: len(index) + i for i, g in enumerate(groups)}
    part = {"A": len(index) + len(groups), "B": len(index) + len(groups) + 1}  # of the overlapped iteration
    n = len(index) + len(groups) + (2 if instance["overlapped"] else 0)
    scale_time = 1e-3
    by_key = {}
    for (t, c, o), j in index.items():
        rows_of_class = instance["tables"][t]["rows"][c]
        for key, value in columns[(t, c, o)].items():
            by_key.setdefault(key, []).append((j, value * rows_of_class))
    A, b, seen = [], [], set()
    def add_row(entries, right):
        row = {}
        for j, value in entries:
            row[j] = row.get(j, 0.0) + value
        signature = (tuple((j, float(f"{value:.10g}")) for j, value in sorted(row.items())), float(f"{right:.10g}"))
        if signature not in seen:  # instances of one kind give the same row
            seen.add(signature)
            A.append(row)
            b.append(right)
    for g, constant, terms in rows:
        entries = [(tau[g], -1.0)]
        for key, per_unit in terms.items():
            constant += per_unit * base.get(key, 0.0)
            entries += [(j, per_unit * value / scale_time) for j, value in by_key.get(key, [])]
        add_row(entries, -constant / scale_time)
    cost = np.zeros(n)
    if instance["overlapped"]:
        lane = lambda g: g if isinstance(g, str) else g[0]
        for which in "AB":
            cost[part[which]] = 1.0
            add_row([(tau[g], 1.0) for g in groups if lane(g).startswith(which + " ")] + [(part[which], -1.0)], 0.0)
            if "share " + which in tau:
                add_row([(tau["share " + which], 1.0), (part[which], -1.0)], 0.0)
        add_row([(tau[g], 1.0) for g in groups if lane(g).startswith("C ")] + [(part["B"], -1.0)], 0.0)
        if "share A + B" in tau:
            add_row([(tau["share A + B"], 1.0), (part["A"], -1.0), (part["B"], -1.0)], 0.0)
        fixed = 0.0
    else:
        for g in groups:
            cost[tau[g]] = 1.0
        fixed = compute
    for x in system.vertices:
        for s, store in enumerate(system.domains[x.kind]["stores"]):
            entries = by_key.get(("memory", x, s), [])
            if entries:
                add_row([(j, value / store["capacity"]) for j, value in entries], 1.0)
    E = [{index[(t, c, o)]: 1.0 for o in options} for t, c in classes]
    found = linprog(cost, A_ub=sparse(A, n), b_ub=np.array(b), A_eq=sparse(E, n), b_eq=np.ones(len(classes)), method="highs",
                    options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
    if found.status == 2:
        return INF
    if found.status != 0:
        raise RuntimeError(found.message)
    return found.fun * scale_time + fixed


def optimum(instance):
    system = System(instance)
    options, rank_kinds = options_of(system)
    if len(options) > 60 or len(system.vertices) > 60:
        return None  # many explicit vertices times many options: too slow to build here
    best = INF
    for direct in ([False, True] if instance["direct"] and system.depth > 1 else [False]):
        costs = Costs(system, instance, direct)
        columns = {}
        for t, table in enumerate(instance["tables"]):
            for c, p in enumerate(table["p"]):
                for o, option in enumerate(options):
                    columns[(t, c, o)] = costs.row(table, p, option)
        base = {}
        if instance["dense_bytes"]:
            costs.out = {}
            costs.reduce(system.depth, True, instance["dense_bytes"], None, None, lambda e: 1.0, ("", "dense "))
            for r in system.ranks:
                costs.out[("dense update", r)] = instance["dense_bytes"]
            base = costs.out
        slow = sorted({site for _, _, sites in options for site in sites.values() if not (site[0] in rank_kinds and site[1] == 0)})
        lowest = range(system.depth + 1)
        for least in lowest:
            # Sequential, the dense parameters pay the latency of a reduction anyway.
            paid = instance["dense_bytes"] and not instance["overlapped"]
            for most in [system.depth] if paid else range(least, system.depth + 1):
                for chosen in itertools.chain.from_iterable(itertools.combinations(slow, k) for k in range(len(slow) + 1)):
                    allowed = [o for o, (level, _, sites) in enumerate(options) if least <= level <= most and all(
                        site in chosen or site not in slow for site in sites.values())]
                    if not allowed:
                        continue
                    def use(what, which, least=least, most=most, chosen=chosen):
                        if what == "store":
                            return which in chosen
                        if not any(len(v.children) > 1 for v in system.vertices if v.level == which - 1):
                            return False  # a stage with one child moves nothing
                        dense = instance["dense_bytes"] > 0
                        return {"exchange": which > least, "clean": least == 0, "copies": which <= most, "dense": dense,
                                "reduce": dense or which <= most}[what]
                    best = min(best, solve_one(instance, system, direct, allowed, columns, base, use))
    return best


def main():
    count = sys.argv[2] if len(sys.argv) > 2 else "200"
    seed = sys.argv[3] if len(sys.argv) > 3 else "1"
    process = subprocess.Popen([sys.argv[1], count, seed], stdout=subprocess.PIPE, text=True)
    compared = skipped = 0
    worst = 0.0
    failures = 0
    for number, line in enumerate(process.stdout):
        instance = json.loads(line)
        expected = optimum(instance)
        if expected is None:
            skipped += 1
            continue
        compared += 1
        error = max(abs(instance[key] - expected) for key in ("relaxed", "bound")) / max(expected, 1e-12)  # one rank alone: 0 s
        worst = max(worst, error)
        if error > 1e-6:
            failures += 1
            print(f"instance {number}: HiGHS {expected:.9g}, optimum {instance['relaxed']:.9g}, bound {instance['bound']:.9g}", flush=True)
    print(f"{compared} instances compared, {skipped} too large to write out, {failures} differ by more than 1e-6, worst {worst:.2g}")
    sys.exit(1 if failures or process.wait() != 0 or compared == 0 else 0)


if __name__ == "__main__":
    main()
