#!/usr/bin/env python3
"""Draws the CSV of `sparrow plan --sweep`: throughput against memory budget, skew, number of ranks or any other key of the
sweep, one line per strategy, with the bound. Everything in such a CSV is modelled, and the figure says so.

  sparrow plan --topology configs/topologies/dgx-h100-x16.yaml --tables criteo-terabyte --dim 128 --batch 65536 \\
      --sweep memory=1GiB,2GiB,4GiB,8GiB,16GiB,32GiB,64GiB --out memory.csv
  scripts/plot.py memory.csv --out memory.png

A sweep of two keys gives one panel per value of the second one. Needs matplotlib (scripts/install_deps.sh).
"""
import argparse
import csv
import pathlib
import re
import sys

KEYS = ("exponent", "memory", "batch", "dim", "ranks", "bandwidth")
LABELS = {"exponent": "Zipf exponent of the accesses", "memory": "device memory of a rank", "batch": "global batch",
          "dim": "embedding dimension", "ranks": "ranks", "bandwidth": "bandwidth of all links, as a factor"}
UNITS = {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def number(text):
    match = re.fullmatch(r"([0-9.eE+]+?) ?([kKMGT]?i?B)?", text)
    if not match or (match[2] or "") not in UNITS:
        sys.exit(f"plot.py: '{text}' is not a number")
    return float(match[1]) * UNITS[match[2] or ""]


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "samples_per_second" not in rows[0]:
        sys.exit(f"plot.py: {path} is not the CSV of `sparrow plan --sweep`")
    return rows, [key for key in rows[0] if key in KEYS]


def draw(axes, rows, x):
    """One line per strategy, the optimum on top; the bound as a dashed line. Points that do not fit are left out."""
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    for order, strategy in enumerate(strategies):
        points = sorted((number(row[x]), float(row["samples_per_second"])) for row in rows
                        if row["strategy"] == strategy and row["samples_per_second"])
        if points:
            best = strategy == "optimal"
            axes.plot(*zip(*points), marker="o", markersize=4, linewidth=2.5 if best else 1.2, zorder=10 if best else 2,
                      color="black" if best else f"C{order}", label=strategy)
    bound = sorted({(number(row[x]), float(row["samples_per_second"]) * float(row["seconds_per_iteration"]) / float(row["bound_seconds"]))
                    for row in rows if row["samples_per_second"]})
    if bound:
        axes.plot(*zip(*bound), linestyle="--", linewidth=1, color="red", zorder=11, label="bound")
    axes.set_yscale("log")
    if x != "exponent":
        axes.set_xscale("log", base=2)
        ticks = sorted({number(row[x]) for row in rows})
        axes.set_xticks(ticks, [next(row[x] for row in rows if number(row[x]) == tick) for tick in ticks], rotation=45)
        axes.minorticks_off()
    axes.set_xlabel(LABELS[x])
    axes.grid(alpha=0.3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", help="from sparrow plan --sweep ... --out FILE")
    parser.add_argument("--x", choices=KEYS, help="key of the horizontal axis; default: the first of the sweep")
    parser.add_argument("--out", help="figure to write (png, pdf, svg); default: beside the CSV, .png")
    arguments = parser.parse_args()
    rows, keys = read(arguments.csv)
    x = arguments.x or (keys[0] if keys else None)
    if x not in keys:
        sys.exit(f"plot.py: {arguments.csv} has no sweep over {x}; it has {', '.join(keys) or 'none'}")
    others = [key for key in keys if key != x]
    panels = list(dict.fromkeys(tuple(row[key] for key in others) for row in rows))

    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, grid = pyplot.subplots(1, len(panels), figsize=(1.5 + 5 * len(panels), 4.5), sharey=True, squeeze=False)
    for axes, panel in zip(grid[0], panels):
        draw(axes, [row for row in rows if tuple(row[key] for key in others) == panel], x)
        axes.set_title(", ".join(f"{key} {value}" for key, value in zip(others, panel)) or rows[0]["topology"], fontsize=10)
    grid[0][0].set_ylabel("samples per second (modelled)")
    grid[0][-1].legend(fontsize=8)
    figure.suptitle(rows[0]["topology"] if others else "")
    figure.tight_layout()
    out = arguments.out or str(pathlib.Path(arguments.csv).with_suffix(".png"))
    figure.savefig(out, dpi=150)
    print(out)


if __name__ == "__main__":
    main()
