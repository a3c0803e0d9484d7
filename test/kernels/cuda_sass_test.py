#!/usr/bin/env python3
"""Kernels that move rows must do it 128 bits at a time: looks for such accesses in the machine code of the CUDA module.

usage: cuda_sass_test.py MODULE      exits 77 (skipped) where there is no cuobjdump or no machine code
"""
import re
import shutil
import subprocess
import sys

# Which kernels, by a part of their name, must have which accesses: to global memory, and wide.
WANTED = {
    "gather_rows_kernelIfE": (r"\bLDG\.E\.128", r"\bSTG\.E\.128"),
    "pack_rows_kernelIfE": (r"\bLDG\.E\.128", r"\bSTG\.E\.128"),
    "gather_rows_kernelI13__nv_bfloat16E": (r"\bLDG\.E\.128", r"\bSTG\.E\.64"),
    "pack_rows_kernelI13__nv_bfloat16E": (r"\bLDG\.E\.128", r"\bSTG\.E\.64"),
    "pool_bags_kernel": (r"\bLDG\.E\.128", r"\bSTG\.E\.128"),
    "sum_windows_kernelIfE": (r"\bLDG\.E\.128", r"\bSTG\.E\.128"),
}


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def main():
    if not shutil.which("cuobjdump"):
        skip("cuobjdump is not installed")
    run = subprocess.run(["cuobjdump", "-sass", sys.argv[1]], capture_output=True, text=True)
    functions = dict(re.findall(r"Function : (\S+)\n(.*?)(?=Function : |\Z)", run.stdout, re.DOTALL))
    if not functions:
        skip(f"no machine code in {sys.argv[1]}: {run.stderr.strip()}")
    missing = []
    for part, patterns in WANTED.items():
        code = [text for name, text in functions.items() if part in name]
        if not code:
            missing.append(f"no kernel {part}")
        missing += [f"{part}: no {pattern}" for pattern in patterns if not all(re.search(pattern, text) for text in code)]
    print("\n".join(missing) or f"{len(WANTED)} kernels use wide accesses")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
