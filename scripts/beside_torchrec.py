#!/usr/bin/env python3
"""Samples per second of this program and of TorchRec on the same emulated hosts and rows, run in turn, several times: a table of medians and spreads.

    sudo scripts/beside_torchrec.py ROWS.tsv.gz --python VENV/bin/python                    # 4 hosts, 100 Mbit/s and 1 Gbit/s, rows of 128 values
    sudo scripts/beside_torchrec.py ROWS.tsv.gz --python ... --rate 100mbit --dim 16 --repeats 3 --out runs/beside

VENV has torch, torchrec and fbgemm-gpu-cpu. Both train one pass over the rows with small MLPs, 2,048 samples of a host in a batch, one thread a host.
Every result is a line of OUT/results.jsonl.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
from typing import Any

from python_packages import require

require("yaml")

import yaml  # noqa: E402

from sparrow_runs import EMULATE_CLUSTER, ROOT, launch_command, launch_environment, launched, overrides, read_summary  # noqa: E402
from sweep import guarded  # noqa: E402
from sweep_file import Launcher  # noqa: E402

HOSTS = 4
SWEEP = ROOT / "configs/reproduce/assignment.yaml"  # whose settings both share
OURS: dict[str, dict[str, Any]] = {
    "table-wise, not deduplicated": {"placement.strategy": "table_wise", "placement.deduplicate": False, "placement.assignment": "contiguous"},
    "contiguous": {"placement.assignment": "contiguous", "placement.holders": "arithmetic"},
    "samples to rows": {"placement.assignment": "local", "placement.holders": "first_use"},
}
PEERS = {
    "table-wise": ["--strategy", "table_wise"],
    "table-wise, pipelined": ["--strategy", "table_wise", "--pipeline"],
    "planner": ["--strategy", "planner"],
    "planner, links known": ["--strategy", "planner", "--gbps", "RATE"],
    "row-wise": ["--strategy", "row_wise"],
}
GBPS = {"100mbit": 0.1, "1gbit": 1.0, "10gbit": 10.0}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=pathlib.Path, help="rows in Criteo's text format")
    parser.add_argument("--python", required=True, help="a Python with TorchRec")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/sparrow")
    parser.add_argument("--rate", nargs="+", default=["100mbit", "1gbit"], choices=GBPS)
    parser.add_argument("--dim", nargs="+", type=int, default=[128])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ours", nargs="*", default=list(OURS), choices=OURS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--samples", type=int, default=0, help="of TorchRec's pass, which may be cut short; 0: all")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/beside_torchrec"))
    return parser.parse_args()


def run_ours(options: argparse.Namespace, name: str, wire: str, dim: int, folder: pathlib.Path) -> dict[str, Any]:
    settings = dict(yaml.safe_load(SWEEP.read_text())["set"]) | OURS[name]
    settings |= {"data.train": [str(options.rows.absolute())], "data.generate": {}, "model.embedding_dim": dim, "system.wire": wire,
                 "output.dir": str(folder), "output.resume": "never"}  # fmt: skip
    launcher = Launcher("emulate_cluster", hosts=HOSTS)
    command = launch_command(launcher, HOSTS) + [str(options.program.absolute()), "train", str(ROOT / "configs/small.yaml"), *overrides(settings)]
    result = subprocess.run(command, env=launch_environment(launcher, HOSTS), capture_output=True, text=True, timeout=900)
    summary = read_summary(folder)
    if result.returncode != 0 or summary is None:
        return {"failed": result.stderr[-500:]}
    return {"samples_per_second": summary["samples_per_second"], "seconds_per_iteration": summary["seconds_per_iteration"],
            "bytes_per_iteration": summary["bytes_per_iteration"]["total"], "predicted": summary["predicted"]["seconds_per_iteration"]}  # fmt: skip


def run_peer(options: argparse.Namespace, name: str, wire: str, dim: int, rate: str) -> dict[str, Any]:
    rows = yaml.safe_load(SWEEP.read_text())["set"]["data.max_rows"]
    arguments = [str(GBPS[rate]) if word == "RATE" else word for word in PEERS[name]]
    command = [str(EMULATE_CLUSTER), "run", "-n", str(HOSTS), options.python, str(ROOT / "scripts/peer_torchrec.py"), str(options.rows.absolute()),
               "--rows", ",".join(map(str, rows)), "--dim", str(dim), "--wire", wire, "--samples", str(options.samples), *arguments]  # fmt: skip
    try:
        result = subprocess.run(command, env=launch_environment(Launcher("emulate_cluster"), HOSTS), capture_output=True, text=True, timeout=900)
        return json.loads(result.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": "no end within 900 s"}
    except (IndexError, ValueError):
        return {"failed": result.stderr[-500:]}


def table(results: list[dict[str, Any]]) -> str:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for result in results:
        if "failed" not in result:
            groups.setdefault((result["rate"], result["dim"], result["system"], result["wire"]), []).append(result)
    lines = ["| links | values of a row | system | wire | samples/s, median | least, most | ms per iteration | MB of a host and iteration |", "|---" * 8 + "|"]
    for (rate, dim, system, wire), group in sorted(groups.items()):
        speeds = [result["samples_per_second"] for result in group]
        middle = statistics.median(speeds)
        lines.append(f"| {rate} | {dim} | {system} | {wire} | {middle:,.0f} | {min(speeds):,.0f}, {max(speeds):,.0f} | "
                     f"{statistics.median(r['seconds_per_iteration'] for r in group) * 1e3:,.0f} | "
                     f"{statistics.median(r['bytes_per_iteration'] for r in group) / 1e6:.2f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    results = []
    with open(options.out / "results.jsonl", "a", encoding="utf-8") as file:
        for rate in options.rate:
            with launched(Launcher("emulate_cluster", hosts=HOSTS), rate):
                for repeat in range(options.repeats):
                    for dim in options.dim:
                        todo = [(name, wire) for name in options.ours for wire in ("fp32", "bf16")] + [(name, "fp16") for name in options.peers]
                        for name, wire in todo:
                            ours = name in OURS
                            found = run_ours(options, name, wire, dim, options.out / "run") if ours else run_peer(options, name, wire, dim, rate)
                            result = {"rate": rate, "dim": dim, "system": name if ours else f"TorchRec, {name}", "wire": wire, "repeat": repeat} | found
                            results.append(result)
                            file.write(json.dumps(result) + "\n")
                            file.flush()
                            print(rate, dim, result["system"], wire, found.get("samples_per_second", found.get("failed")), flush=True)
    print(table(results))
    (options.out / "table.md").write_text(table(results) + "\n")
    return 1 if any("failed" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
