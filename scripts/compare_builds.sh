#!/usr/bin/env bash
# Compares what two builds compute, to the bit: scripts/compare_builds.sh OLD NEW (build folders; --help).
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "${BASH_SOURCE[0]}")/../test/end_to_end/recorded_runs.py" "$@"
