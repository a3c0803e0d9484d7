#!/usr/bin/env python3
"""Checks the direction of includes: each folder may include only what the tables below say. Prints `file:line: ...` for each fault; exits 1.

    scripts/check_includes.py [--root FOLDER]
"""
import argparse
import pathlib
import re
import sys

# Folder -> folders of ours it may include besides itself:
# base <- {placement, data, comm, kernels} <- {access, layout, assign, store, exchange, model, synthetic} <- config
#      <- {planning, train} <- {calibrate, checkpoint} <- run <- apps
BASE = {"lib/base"}
PARTS = BASE | {"lib/placement", "lib/data", "lib/comm", "kernels"}
EMBEDDING = PARTS | {"lib/layout", "lib/store", "lib/exchange"}
STEP = EMBEDDING | {"lib/access", "lib/assign", "lib/model", "lib/config"}
RUN = STEP | {"lib/train", "lib/calibrate", "lib/planning", "lib/checkpoint"}
ALLOWED = {
    "lib/base": set(),
    "lib/placement": BASE,
    "lib/data": BASE,
    "lib/comm": BASE,
    "kernels": BASE,
    "kernels/host": BASE | {"kernels"},
    "kernels/cuda": BASE | {"kernels", "lib/comm"},  # NCCL implements Comm
    "lib/access": BASE | {"lib/placement", "lib/data", "lib/comm"},
    "lib/synthetic": BASE | {"lib/placement", "lib/data", "lib/access"},
    "lib/layout": BASE | {"lib/placement"},
    "lib/assign": BASE | {"lib/data", "lib/comm", "lib/placement", "lib/layout"},
    "lib/store": BASE | {"kernels", "lib/layout"},
    "lib/exchange": PARTS | {"lib/layout", "lib/store"},
    "lib/model": PARTS,
    "lib/config": EMBEDDING | {"lib/model"},
    "lib/train": STEP,
    "lib/planning": STEP,
    "lib/calibrate": STEP | {"lib/train", "lib/planning"},
    "lib/checkpoint": STEP | {"lib/train"},
    "lib/run": RUN,
    "apps": RUN | {"lib/run", "lib/synthetic", "kernels/host"},
    "test": RUN | {"lib/run", "lib/synthetic", "kernels/host", "kernels/cuda", "apps"},
}

# Outside headers: who may include them, directly or through ours. The first pattern that matches counts.
OUTSIDE = [
    (r"mpi\.h", ["lib/comm/mpi_", "test/support/mpi_test_main.cpp", "test/cuda_emulator/"]),
    (r"cublas.*", ["test/bench/cublas_products"]),
    (r"cuda.*|cub/.*|cooperative_groups.*|nccl.*|mma\.h|nv.*", ["kernels/cuda/", "test/cuda_emulator/", "test/bench/cuda_bench", "test/bench/cublas_products"]),
    (r"yaml-cpp/.*", ["lib/config/"]),
    (r"dnnl.*|oneapi/.*", ["kernels/host/"]),
    (r"isa-l.*", ["lib/data/", "lib/synthetic/", "test/data/"]),
    (r"liburing.*", ["lib/store/"]),
    (r"hwloc.*", ["lib/base/locality.cpp"]),
    (r"cxxopts.*", ["apps/", "test/bench/"]),
    (r"catch2/.*|benchmark/.*", ["test/"]),
]
# lib/placement is pure: the standard library and lib/base alone, and of that neither the clock nor the log.
PURE = "lib/placement/"
NOT_PURE = {"base/timer.hpp", "base/log.hpp", "chrono", "ctime", "time.h", "random", "thread", "mutex", "iostream"}

SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh", ".h"}
INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
STANDARD = re.compile(r"[a-z0-9_]+|[a-z]+\.h")  # <vector>, <math.h>


def includes_of(text):
    """(line, header, quoted) for each include outside of block comments."""
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.S)
    for number, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) or found.group(2), found.group(1) is not None


def folder_of(file):
    """The entry of ALLOWED that a file belongs to."""
    parents = [parent.as_posix() for parent in pathlib.PurePosixPath(file).parents]
    return next((parent for parent in parents if parent in ALLOWED), None)


class Tree:
    def __init__(self, root):
        self.root = root
        self.faults = []
        self.files = {}  # path -> its includes
        for top in ("lib", "kernels", "apps", "test"):
            for path in sorted((root / top).rglob("*")):
                if path.suffix in SUFFIXES:
                    name = path.relative_to(root).as_posix()
                    self.files[name] = list(includes_of(path.read_text(errors="replace")))

    def fault(self, file, line, message):
        self.faults.append(f"{file}:{line}: {message}")

    def resolve(self, file, header):
        """A quoted header as a path of ours: from the root, from lib/, or (tests and apps) beside the file. Also what is made of HEADER.in."""
        places = [header, f"lib/{header}"]
        if file.startswith(("test/", "apps/")):
            places.append((pathlib.PurePosixPath(file).parent / header).as_posix())
        for place in places:
            if (self.root / place).is_file() or (self.root / f"{place}.in").is_file():
                return place
        return None

    def outside_reached(self, file, seen):
        """Outside headers that a file includes through ours, each with the file that names it."""
        for _, header, quoted in self.files.get(file, []):
            if not quoted:
                yield header, file
                continue
            ours = self.resolve(file, header)
            if ours and ours not in seen:
                seen.add(ours)
                yield from self.outside_reached(ours, seen)

    def check_ours(self, file, line, header):
        target = self.resolve(file, header)
        if target is None:
            self.fault(file, line, f'"{header}" is no file of ours (paths begin at the root or at lib/)')
            return
        source, folder = folder_of(file), folder_of(target)
        if source == folder or folder in ALLOWED[source]:
            return
        self.fault(file, line, f"{source} must not include {folder} ({header})")

    def check_outside(self, file):
        own = {header: line for line, header, quoted in self.files[file] if not quoted}
        for header, by in self.outside_reached(file, {file}):
            owners = next((places for pattern, places in OUTSIDE if re.fullmatch(pattern, header)), None)
            if owners is None or file.startswith(tuple(owners)):
                continue
            way = "" if by == file else f" (through {by})"
            self.fault(file, own.get(header, 1), f"<{header}>{way} belongs to {', '.join(owners)}")

    def check_pure(self, file, line, header, quoted):
        if header in NOT_PURE:
            self.fault(file, line, f"lib/placement must not use {header}")
        elif not quoted and not STANDARD.fullmatch(header):
            self.fault(file, line, f"lib/placement includes the standard library and lib/base alone, not <{header}>")

    def check(self):
        for file, includes in self.files.items():
            if folder_of(file) is None:
                self.fault(file, 1, "in no folder that the table of check_includes.py knows")
                continue
            for line, header, quoted in includes:
                if quoted:
                    self.check_ours(file, line, header)
                if file.startswith(PURE):
                    self.check_pure(file, line, header, quoted)
            self.check_outside(file)
        return self.faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    tree = Tree(parser.parse_args().root)
    if not tree.files:
        sys.exit(f"check_includes.py: no sources under {tree.root}")
    faults = tree.check()
    print("\n".join(faults) or f"{len(tree.files)} files, every include in its direction")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
