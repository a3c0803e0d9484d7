"""Sweep files: a base configuration and what to vary. Read strictly; every error names the file, the line and the key.

    config: ../small.yaml             # the base configuration, from the sweep file's folder
    set: {train.samples: 40960}       # keys of the configuration that all runs change
    grid:                             # every combination of these is run
      system.wire: [fp32, bf16]       # a key and its values, or
      data:                           # a name and its cases: keys that change together
        kaggle: {data.generate.like: kaggle, data.generate.out: data/kaggle}
        terabyte: {data.generate.like: terabyte, data.generate.out: data/terabyte}
    ranks: [1, 2, 4]                  # numbers of ranks; default: 1, on an emulated cluster every slot
    seeds: 3                          # repeats with train.seed 1 to 3, or a list of seeds; default: the seed of the configuration
    timeout: 600                      # seconds of one run, then it has failed; default: none
    launcher: mpirun                  # mpirun | srun | emulate_cluster, or a map with more:
                                      #   {name: mpirun, arguments: [--hostfile, hosts.txt]}
                                      #   {name: emulate_cluster, hosts: 4, slots: 1, rate: [100mbit, 1gbit]}; a rate is "A" or "A,B,...", one per
                                      #   host; of several rates each is run
    table: [samples_per_second]       # columns of summary.json in the table on the terminal
    figures: [...]                    # see plot_runs.py
    quick: {grid: ..., set: ..., ranks: ..., seeds: ..., launcher: ...}    # what --quick replaces; entries of set and grid one by one

Whether a key of the configuration exists and may have a value is said by the program, when it is run.
"""
from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
from typing import Any

import yaml

from plot_runs import Figure

LAUNCHERS = ("mpirun", "srun", "emulate_cluster")
DEFAULT_TABLE = ["samples_per_second", "eval.auc", "bytes_per_iteration.total", "seconds_per_iteration", "predicted.seconds_per_iteration"]
CONFIG_KEY = re.compile(r"[a-z_]+(\.[a-z_]+)+")
RATE = re.compile(r"(unlimited|\d+(\.\d+)?[kmg]bit)(,(unlimited|\d+(\.\d+)?[kmg]bit))*")


class SweepError(Exception):
    """A sweep file that cannot be used; says where and why."""


@dataclasses.dataclass
class Launcher:
    name: str = "mpirun"
    arguments: list[str] = dataclasses.field(default_factory=list)
    hosts: int = 0
    slots: int = 1
    rates: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Run:
    """One training run: what is set, and the folder of its results."""

    index: int
    columns: dict[str, Any]  # what the sweep varies, by name
    settings: dict[str, Any]  # keys of the configuration
    ranks: int
    rate: str | None
    folder: pathlib.Path


@dataclasses.dataclass
class Sweep:
    path: pathlib.Path
    config: pathlib.Path
    settings: dict[str, Any]
    grid: dict[str, dict[str, dict[str, Any]]]  # column -> case -> settings
    ranks: list[int]
    seeds: list[int]
    timeout: float | None
    launcher: Launcher
    table: list[str]
    figures: list[Figure]

    @property
    def name(self) -> str:
        return self.path.stem

    def runs(self, out: pathlib.Path) -> list[Run]:
        """All runs in order: rates, then the grid from its first entry on, ranks, seeds."""
        text = self.config.read_bytes()
        axes = [[(name, case, settings) for case, settings in cases.items()] for name, cases in self.grid.items()]
        if len(self.ranks) > 1 or not axes:
            axes.append([("ranks", ranks, {}) for ranks in self.ranks])
        if self.seeds:
            axes.append([("seed", seed, {"train.seed": seed}) for seed in self.seeds])
        runs = []
        for rate, *point in itertools.product(self.launcher.rates or [None], *axes):
            columns = {"rate": rate} if rate else {}
            settings = dict(self.settings)
            for name, case, changes in point:
                columns[name] = case
                settings.update(changes)
            ranks = columns.get("ranks", self.ranks[0])
            cluster = [self.launcher.hosts, self.launcher.slots, rate] if rate else None
            facts = json.dumps([hashlib.sha256(text).hexdigest(), settings, ranks, cluster], sort_keys=True)
            name = f"{short_name(columns)}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"
            runs.append(Run(len(runs), columns, settings, ranks, rate, out / name))
        return runs


def short_name(columns: dict[str, Any]) -> str:
    """strategy=held,ranks=4 for {"placement.strategy": "held", "ranks": 4}: fit for a folder."""
    text = ",".join(f"{name.rpartition('.')[2]}={value}" for name, value in columns.items())
    return re.sub(r"[^A-Za-z0-9.,=+_-]+", "_", text)[:100]


class _Node:
    """A YAML value that knows where it is written."""

    def __init__(self, path: pathlib.Path, node: yaml.Node, key: str):
        self.path, self.node, self.key = path, node, key

    def fail(self, text: str):
        where = f"{self.key}: " if self.key else ""
        raise SweepError(f"{self.path}:{self.node.start_mark.line + 1}: {where}{text}")

    def map(self) -> dict[str, _Node]:
        if not isinstance(self.node, yaml.MappingNode):
            self.fail("expected a map (key: value)")
        entries: dict[str, _Node] = {}
        for key, value in self.node.value:
            if not isinstance(key, yaml.ScalarNode):
                _Node(self.path, key, self.key).fail("a key must be a word")
            name = f"{self.key}.{key.value}" if self.key else key.value
            if key.value in entries:
                _Node(self.path, key, name).fail("given twice")
            entries[key.value] = _Node(self.path, value, name)
        return entries

    def known(self, *names: str) -> dict[str, _Node]:
        entries = self.map()
        for name, node in entries.items():
            if name not in names:
                node.fail(f"unknown key (known are {', '.join(names)})")
        return entries

    def list(self) -> list[_Node]:
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail("expected a list ([a, b])")
        if not self.node.value:
            self.fail("the list is empty")
        return [_Node(self.path, item, self.key) for item in self.node.value]

    def list_or_one(self) -> list[_Node]:
        return self.list() if isinstance(self.node, yaml.SequenceNode) else [self]

    def plain(self) -> Any:
        """The value as numbers, strings, lists and dictionaries."""
        if isinstance(self.node, yaml.MappingNode):
            return {name: node.plain() for name, node in self.map().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [_Node(self.path, item, self.key).plain() for item in self.node.value]
        value = yaml.safe_load(yaml.serialize(self.node))
        # Dates and the like are texts to the program; so are numbers that YAML 1.2 reads otherwise (010, 1:30).
        return value if isinstance(value, (bool, float, type(None))) or str(value) == self.node.value else self.node.value

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value:
            self.fail("expected a string")
        return self.node.value

    def number(self, kind: type, least: float) -> Any:
        try:
            value = kind(self.text())
        except ValueError:
            self.fail(f"'{self.text()}' is not a number")
        if not value >= least:
            self.fail(f"{self.text()}: at least {least}")
        return value


def _settings(entries: dict[str, _Node]) -> dict[str, Any]:
    for key, value in entries.items():
        _check_config_key(key, value)
    return {key: value.plain() for key, value in entries.items()}


def _check_config_key(key: str, node: _Node) -> None:
    if not CONFIG_KEY.fullmatch(key):
        node.fail("expected a key of the configuration, such as train.global_batch")
    if key == "output.dir":
        node.fail("the sweep gives each run its own folder")


def _cases(name: str, node: _Node) -> dict[Any, dict[str, Any]]:
    if isinstance(node.node, yaml.MappingNode):
        if CONFIG_KEY.fullmatch(name):
            node.fail("expected a list of values ([a, b])")
        cases = {case: _settings(settings.map()) for case, settings in node.map().items()}
        if not cases:
            node.fail("there are no cases")
        return cases
    _check_config_key(name, node)
    cases = {}
    for item in node.list():
        value = item.plain()
        case = value if isinstance(value, (str, int, float)) else json.dumps(value)
        if case in cases:
            item.fail(f"{case} given twice")
        cases[case] = {name: value}
    return cases


def _launcher(node: _Node) -> Launcher:
    entries = {"name": node} if isinstance(node.node, yaml.ScalarNode) else node.known("name", "arguments", "hosts", "slots", "rate")
    if "name" not in entries:
        node.fail(f"name is missing ({', '.join(LAUNCHERS)})")
    launcher = Launcher(entries["name"].text())
    if launcher.name not in LAUNCHERS:
        entries["name"].fail(f"unknown value '{launcher.name}'; expected: {', '.join(LAUNCHERS)}")
    if "arguments" in entries:
        launcher.arguments = [item.text() for item in entries["arguments"].list()]
    if launcher.name != "emulate_cluster":
        for name in {"hosts", "slots", "rate"} & entries.keys():
            entries[name].fail(f"{launcher.name} has none; emulate_cluster has")
        return launcher
    for name in ("hosts", "rate"):
        if name not in entries:
            node.fail(f"{name} is missing")
    launcher.hosts = entries["hosts"].number(int, 1)
    if "slots" in entries:
        launcher.slots = entries["slots"].number(int, 1)
    for item in entries["rate"].list_or_one():
        if not RATE.fullmatch(item.text()) or item.text().count(",") not in (0, launcher.hosts - 1):
            item.fail(f"'{item.text()}': expected a rate such as 100mbit, or one for each of {launcher.hosts} hosts (1gbit,100mbit,...)")
        launcher.rates.append(item.text())
    return launcher


def _figure(node: _Node) -> Figure:
    entries = node.known(*(field.name for field in dataclasses.fields(Figure)))
    try:
        return Figure(**{name: entry.plain() for name, entry in entries.items()})
    except (TypeError, ValueError) as error:
        node.fail(str(error).replace("Figure.__init__() ", ""))


def _distinct(node: _Node, items: list[_Node], least: int) -> list[int]:
    values = [item.number(int, least) for item in items]
    if len(set(values)) < len(values):
        node.fail("a value given twice")
    return values


_VARIED = ("set", "grid", "ranks", "seeds", "launcher")


def _merged(top: dict[str, _Node], quick: bool) -> dict[str, Any]:
    """The entries that vary, with those of `quick` in place of their own: {"set": {key: node}, "grid": {...}, "ranks": node, ...}."""
    replacing = top["quick"].known(*_VARIED) if "quick" in top else {}
    sources = [top, replacing] if quick else [top]
    merged: dict[str, Any] = {name: source[name] for source in sources for name in _VARIED if name in source}
    for name in ("set", "grid"):
        merged[name] = {key: node for source in sources if name in source for key, node in source[name].map().items()}
    return merged


def read_sweep(path: pathlib.Path, quick: bool = False) -> Sweep:
    """Reads and checks a sweep file. Raises SweepError."""
    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SweepError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SweepError(f"{path}:{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SweepError(f"{path}: {error}") from error
    if root is None:
        raise SweepError(f"{path}: the file is empty")
    try:
        return _read(path, _Node(path, root, ""), quick)
    except RecursionError as error:
        raise SweepError(f"{path}: a value contains itself") from error


def _read(path: pathlib.Path, root: _Node, quick: bool) -> Sweep:
    top = root.known("config", "timeout", "table", "figures", "quick", *_VARIED)
    if "config" not in top:
        root.fail("config is missing: the base configuration")
    config = path.parent / top["config"].text()
    if not config.is_file():
        top["config"].fail(f"no file '{config}'")
    varied = _merged(top, quick)

    grid = {name: _cases(name, node) for name, node in varied["grid"].items()}
    for name in {"ranks", "seed", "rate"} & grid.keys():
        varied["grid"][name].fail("this column has a place of its own (ranks, seeds, launcher)")
    launcher = _launcher(varied["launcher"]) if "launcher" in varied else Launcher()
    slots = launcher.hosts * launcher.slots
    ranks = [slots or 1]
    if "ranks" in varied:
        ranks = _distinct(varied["ranks"], varied["ranks"].list_or_one(), 1)
        if slots and max(ranks) > slots:
            varied["ranks"].fail(f"{max(ranks)} ranks, but {launcher.hosts} hosts with {launcher.slots} slot(s) each")
    seeds: list[int] = []
    if "seeds" in varied:
        node = varied["seeds"]
        several = isinstance(node.node, yaml.SequenceNode)
        seeds = _distinct(node, node.list(), 0) if several else list(range(1, 1 + node.number(int, 1)))
    return Sweep(
        path=path,
        config=config,
        settings=_settings(varied["set"]),
        grid=grid,
        ranks=ranks,
        seeds=seeds,
        timeout=top["timeout"].number(float, 1e-3) if "timeout" in top else None,
        launcher=launcher,
        table=[item.text() for item in top["table"].list()] if "table" in top else DEFAULT_TABLE,
        figures=[_figure(item) for item in top["figures"].list()] if "figures" in top else [],
    )
