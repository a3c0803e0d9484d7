#!/usr/bin/env python3
"""Draws figures from the results of scripts/sweep.py: runs that were measured (plot.py: plans that were modelled).

    scripts/plot_runs.py runs/sweeps/ranks/results.csv --x ranks --y samples_per_second --series system.wire --out ranks.svg

Rows that differ in none of x, series, panels and where are repeats: their mean is drawn, with bars from the least to the most. A sweep file names its
figures in the same words: {name: speed, kind: lines, x: ranks, y: samples_per_second, series: system.wire}.
"""
from __future__ import annotations

import argparse
import csv
import dataclasses
import pathlib
import sys
from typing import Any

from python_packages import require

KINDS = ("lines", "bars", "against")
Row = dict[str, Any]


@dataclasses.dataclass
class Figure:
    """What a figure shows. Columns are those of the CSV; y may be a sum, such as "a + b"."""

    name: str
    x: str
    y: str
    kind: str = "lines"  # lines | bars | against: a point per row and the line where y equals x
    series: str = ""  # column; one line or colour for each of its values
    panels: str = ""  # column; one panel for each of its values
    where: dict[str, Any] = dataclasses.field(default_factory=dict)  # only rows with these values
    log: str = ""  # axes with a logarithmic scale: x, y or xy
    title: str = ""
    x_label: str = ""
    y_label: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: unknown value '{self.kind}'; expected: {', '.join(KINDS)}")
        if self.log not in ("", "x", "y", "xy"):
            raise ValueError(f"log: unknown value '{self.log}'; expected: x, y, xy")
        if not isinstance(self.where, dict):
            raise ValueError("where: expected a map (column: value)")


def read_csv(path: pathlib.Path) -> list[Row]:
    """The rows, numbers as numbers, without those of runs that have no result."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if row.get("status", "done") == "done"]


def _value(text: str | None) -> Any:
    try:
        return int(text or "")
    except ValueError:
        try:
            return float(text or "")
        except ValueError:
            return text


def number(row: Row, column: str) -> float | None:
    """A column or a sum of columns ("a + b"); None where one is missing."""
    values = [row.get(name.strip()) for name in column.split(" + ")]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return None
    return float(sum(values))


def distinct(rows: list[Row], column: str) -> list[Any]:
    """The column's values in order of appearance; [""] for no column."""
    return list(dict.fromkeys(row.get(column, "") for row in rows)) if column else [""]


def selected(rows: list[Row], where: dict[str, Any]) -> list[Row]:
    return [row for row in rows if all(str(row.get(name)) == str(value) for name, value in where.items() if name)]


def draw(figure: Figure, rows: list[Row], path: pathlib.Path) -> bool:
    """Writes the figure; its format follows the path's suffix. False, and nothing is written, when no row has its columns."""
    rows = [row for row in selected(rows, figure.where) if number(row, figure.y) is not None and row.get(figure.x) not in (None, "")]
    if figure.kind == "against":
        rows = [row for row in rows if number(row, figure.x) is not None]
    if not rows:
        return False
    require("matplotlib")
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = distinct(rows, figure.panels)
    picture, grid = pyplot.subplots(1, len(panels), figsize=(1.5 + 4.5 * len(panels), 4), sharey=True, squeeze=False, layout="constrained")
    for axes, panel in zip(grid[0], panels):
        _draw_panel(axes, figure, selected(rows, {figure.panels: panel}), distinct(rows, figure.series))
        axes.set_xlabel(figure.x_label or figure.x)
        axes.set_title(f"{figure.panels} {panel}" if figure.panels else "")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel(figure.y_label or figure.y)
    if figure.series:
        grid[0][-1].legend(*grid[0][0].get_legend_handles_labels(), title=figure.series, loc="upper left", bbox_to_anchor=(1, 1))
    picture.suptitle(figure.title)
    picture.savefig(path)
    pyplot.close(picture)
    return True


def _draw_panel(axes: Any, figure: Figure, rows: list[Row], series: list[Any]) -> None:
    if figure.kind == "against":
        _draw_against(axes, figure, rows, series)
        return
    groups = distinct(rows, figure.x)
    numeric = figure.kind == "lines" and all(isinstance(value, (int, float)) for value in groups)
    if numeric:
        groups.sort()
    for i, value in enumerate(series):
        places, means, below, above = [], [], [], []
        for place, group in enumerate(groups):
            found = [number(row, figure.y) for row in selected(rows, {figure.x: group, figure.series: value})]
            if not found:
                continue
            mean = sum(found) / len(found)
            places.append(group if numeric else place)
            means.append(mean)
            below.append(mean - min(found))
            above.append(max(found) - mean)
        spread = [below, above] if any(below) or any(above) else None
        label = str(value)
        if figure.kind == "lines":
            axes.errorbar(places, means, spread, marker="o", capsize=3, label=label, color=f"C{i}")
        else:
            width = 0.8 / len(series)
            shifted = [place + (i - (len(series) - 1) / 2) * width for place in places]
            axes.bar(shifted, means, width, yerr=spread, label=label, color=f"C{i}", capsize=2)
    if "x" in figure.log and numeric:
        axes.set_xscale("log")
    axes.set_xticks(groups if numeric else range(len(groups)), [str(group) for group in groups])
    axes.minorticks_off()
    if "y" in figure.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _draw_against(axes: Any, figure: Figure, rows: list[Row], series: list[Any]) -> None:
    if "x" in figure.log:
        axes.set_xscale("log")
    if "y" in figure.log:
        axes.set_yscale("log")
    values: list[float] = []
    for i, value in enumerate(series):
        points = [(number(row, figure.x), number(row, figure.y)) for row in selected(rows, {figure.series: value})]
        values += [value for point in points for value in point]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", alpha=0.7, label=str(value), color=f"C{i}")
    ends = [min(values), max(values)]
    axes.plot(ends, ends, "-", color="gray", linewidth=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=pathlib.Path)
    for option in ("x", "y"):
        parser.add_argument(f"--{option}", required=True, metavar="COLUMN")
    for option in ("series", "panels"):
        parser.add_argument(f"--{option}", default="", metavar="COLUMN")
    parser.add_argument("--kind", choices=KINDS, default="lines")
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE")
    parser.add_argument("--log", choices=("x", "y", "xy"), default="")
    parser.add_argument("--title", default="")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the picture: .svg, .png or .pdf")
    options = parser.parse_args()
    where = dict(pair.partition("=")[::2] for pair in options.where)
    figure = Figure(options.out.stem, options.x, options.y, options.kind, options.series, options.panels, where, options.log, options.title)
    try:
        rows = read_csv(options.csv)
        if draw(figure, rows, options.out):
            return 0
    except (OSError, ValueError) as error:
        print(f"plot_runs.py: {error}", file=sys.stderr)
        return 1
    print(f"plot_runs.py: {options.csv}: no row has numbers in {options.y} (columns: {', '.join(rows[0]) if rows else 'none'})", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
