#!/usr/bin/env python3
"""Writes docs/modelled_speedups.md: how much faster than each named strategy the optimal plan is, for Criteo Terabyte on the
systems of configs/topologies, by skew and by memory; and its lines for one budget into README.md. Everything in them is
modelled by `sparrow plan`; nothing is measured.

  scripts/speedup_table.py [--sparrow build/sparrow] [--out docs/modelled_speedups.md] [--readme README.md]

The same program, topologies and profile give the same file. About 80 requests, most of two plans; some minutes.
"""
import argparse
import json
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SYSTEMS = [  # topology, title, global batch, whose memory the budget is, cores of a rank that assign samples (0: they may not move)
    ("dgx-h100", "One node of 8 GPUs", 32768, "GPU", 8),
    ("dgx-h100-x16", "16 nodes of 8 GPUs", 65536, "GPU", 8),
    ("warehouse-2048", "Warehouse of 2,048 nodes", 1048576, "GPU", 8),
    ("ethernet-16", "16 servers on 1 Gbit Ethernet", 16384, "server", 1),
    ("phones-100", "100 phones around a server", 6400, "phone", 0),
]
PROFILE = "configs/profiles/criteo_terabyte.json"
SKEWS = [("zipf 0.8", "zipf:0.8"), ("zipf 1.05", "zipf:1.05"), ("zipf 1.2", "zipf:1.2"), ("fitted", "")]
BUDGETS = ["1GB", "4GB", "16GB", "64GB"]
STRATEGIES = ["held", "table_wise", "row_wise", "replicated", "fetched", "fetched, undeduplicated", "hot_cold"]
MODEL = ["--tables", "criteo-terabyte", "--dim", "128", "--bottom", "512,256", "--top", "1024,1024,512,256"]

HEAD = """# Speed-up of the optimal plan, modelled

Made by `scripts/speedup_table.py`; **every figure is modelled by `sparrow plan`, none is measured**. Criteo Terabyte with all
882,774,559 rows, embedding dimension 128 in fp32 with row-wise Adagrad (456 GB), the MLPs of MLPerf's DLRM, a sequential
iteration, the rates of `configs/topologies/` (data sheets and the assumptions named there). Columns: samples per second of the
optimal plan, its distance from the lower bound, and how many times as long an iteration of each named strategy takes under the
same model; - where the strategy does not fit. "fitted": marginals fitted to real rows (`lib/synthetic/criteo_statistics.hpp`); the
others: Zipf with this exponent in every table. What the strategies are: `lib/placement/baselines/strategies.hpp`.

How to read it. The strategies are modelled at their best: balanced as well as whole tables and rows can be, without stragglers
or contention; they exchange directly between all ranks, the optimal plan level by level. In the warehouse each of 16,384 ranks
would talk to 16,383 others, so the assumed time per message (`overhead`, 200 ns at an adapter) makes most of their time, and the
factors there are as good as that assumption. On one switch with room for all rows, holding every row deduplicated is already
optimal, and the table says so.

"samples to rows": how many times faster again where samples go to their rows (`placement.assignment: local`), by the locality of
`configs/profiles/criteo_terabyte.json`, which was measured on one kind of rows and is used for every skew; "off" where that is no
faster than rates may be wrong, and the plan leaves samples where they are read. All other columns are without it. A batch is read
by one rank in turn, which sends it to all: on large machines its link and its cores (8 of a GPU's host, 1 of a server) set a limit
to that. The samples of a phone stay there.
"""


def plan(sparrow, topology, batch, law, budget, assign_threads):
    command = [sparrow, "plan", "--topology", str(REPOSITORY / f"configs/topologies/{topology}.yaml"), *MODEL,
               "--batch", str(batch), "--device-memory", budget, "--json"]
    if assign_threads:
        command += ["--locality", str(REPOSITORY / PROFILE), "--assign-threads", str(assign_threads)]
    result = subprocess.run(command + (["--distribution", law] if law else []), capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{result.stderr}")
    return json.loads(result.stdout)


def human(value):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def row(skew, budget, report):
    times = {s["name"]: s.get("seconds_per_iteration") for s in report["strategies"]}
    assignment = report["assignment"]
    optimal = assignment.get("contiguous", report)
    seconds, bound = optimal["seconds_per_iteration"], optimal["bound"]
    cells = [human(report["global_batch"] / seconds), f"{100 * max(seconds / bound - 1, 0):.2f} %"]
    cells += [f"{times[name] / seconds:.2f}" if times[name] else "-" for name in STRATEGIES]
    assigned = assignment.get("assigned", {}).get("seconds_per_iteration")
    cells.append("-" if assigned is None else f"{seconds / assigned:.2f}" if assignment["local"] else "off")
    return f"| {skew} | {budget[:-2]} GB | " + " | ".join(cells) + " |\n"


def heading(first, *names):
    return f"| {first} | " + " | ".join([*names, "samples/s", "gap", *(f"over {name}" for name in STRATEGIES), "samples to rows"]) + \
        " |\n|---|---" + "|--:" * (3 + len(STRATEGIES)) + "|\n"


README_BUDGET = "64 GB"
README_BEGIN, README_END = "<!-- begin: scripts/speedup_table.py -->\n", "<!-- end: scripts/speedup_table.py -->\n"


def update_readme(path, tables):
    """Puts the lines of one budget, of all systems, between the marks in the file."""
    lines = heading(f"modelled, {README_BUDGET} each", "skew").splitlines()
    title = ""
    for line in tables.splitlines():
        if line.startswith("## "):
            title = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[1] == README_BUDGET:
            lines.append("| " + " | ".join([title, cells[0], *cells[2:]]) + " |")
    text = path.read_text()
    begin, end = text.index(README_BEGIN) + len(README_BEGIN), text.index(README_END)
    path.write_text(text[:begin] + "\n".join(lines) + "\n" + text[end:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparrow", default=str(REPOSITORY / "build/sparrow"), help="the program")
    parser.add_argument("--out", default=str(REPOSITORY / "docs/modelled_speedups.md"), help="file to write")
    parser.add_argument("--readme", default=str(REPOSITORY / "README.md"), help="file whose table is replaced")
    arguments = parser.parse_args()
    text = HEAD
    for topology, title, batch, holder, assign_threads in SYSTEMS:
        text += f"\n## {title}\n\n`configs/topologies/{topology}.yaml`, global batch {batch:,}.\n\n"
        text += heading("skew", f"per {holder}")
        for skew, law in SKEWS:
            for budget in BUDGETS:
                text += row(skew, budget, plan(arguments.sparrow, topology, batch, law, budget, assign_threads))
        print(title, flush=True)
    out = pathlib.Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    update_readme(pathlib.Path(arguments.readme), text)
    print(out)


if __name__ == "__main__":
    main()
