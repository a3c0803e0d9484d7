"""What tests on emulated clusters need: root, the right to make network namespaces, and no cluster of somebody else's."""
import os
import pathlib
import subprocess

import harness

SCRIPT = str(harness.REPOSITORY / "scripts/emulate_cluster.sh")


def cluster(*arguments):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def why_not():
    """The reason why there can be no emulated cluster here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if pathlib.Path("/run/sparrow_cluster").exists():
        return "an emulated cluster is up, which is not this test's"
    if subprocess.run(["ip", "netns", "add", "sparrow_test"], capture_output=True).returncode != 0:
        return "`ip netns add` is not permitted here"
    subprocess.run(["ip", "netns", "del", "sparrow_test"], check=True)
    return ""
