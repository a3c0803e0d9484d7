"""scripts/compare_builds.sh: a build is the same as itself, and what differs is found and named."""
import copy
import json
import subprocess

import harness
import recorded_runs

NAMES = ["held_three", "copy_levels_3+1", "plan_star"]
SCRIPT = str(harness.REPOSITORY / "scripts/compare_builds.sh")


def altered(records, path, value):
    """The records with another value at a path, or without it (None)."""
    result = copy.deepcopy(records)
    place = result
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def check_differences(checks, records):
    """Each alteration makes the comparison fail in that configuration alone, and is named."""
    loss = records["held_three"]["losses"]["7"]
    alterations = [
        (("held_three", "losses", "7"), loss * (1 + 2**-52), ["losses.7"]),
        (("held_three", "losses", "30"), None, ["losses.30", "-> absent"]),
        (("held_three", "parameters", "emb_l.3.weight"), "0" * 64, ["parameters.emb_l.3.weight", "-> 000000"]),
        (("copy_levels_3+1", "bytes_per_iteration", "ids"), 1.5, ["bytes_per_iteration.ids", "-> 1.5"]),
        (("copy_levels_3+1", "bytes_by_stage", 1, "rows"), 7, ["bytes_by_stage[1].rows", "-> 7"]),
        (("copy_levels_3+1", "failed"), "a reason", ["NEW failed: a reason"]),
        (("plan_star", "plan --json", "seconds_per_iteration"), 2.5, ["plan --json.seconds_per_iteration", "-> 2.5"]),
        (("plan_star", "plan file", "tables", 0, "offset"), 12345, ["plan file.tables[T1].offset", "-> 12345"]),
        (("plan_star",), None, ["NEW failed: not recorded"]),
    ]
    for path, value, named in alterations:
        lines, same = recorded_runs.compare(records, altered(records, path, value))
        text = "\n".join(lines)
        checks.that(not same and all(part in text for part in named), f"found and named: {' '.join(map(str, path))}")
        checks.equal(text.count("same bits"), len(records) - 1, "configurations that are still the same")
    both = altered(records, ("held_three", "failed"), "a reason")
    checks.that(not recorded_runs.compare(both, both)[1], "what fails in both builds is not the same")
    strategies = records["plan_star"]["plan --json"]["strategies"]
    more = altered(records, ("plan_star", "plan --json", "strategies"), [{"name": "new"}, *strategies])
    found = recorded_runs.differences(records["plan_star"], more["plan_star"])
    checks.equal(len(found), 1, "differences where one more strategy comes first")


def check_script(checks, records, folder):
    old, new = folder / "old.json", folder / "new.json"
    old.write_text(json.dumps(records))
    new.write_text(json.dumps(altered(records, ("held_three", "steps"), 29)))

    def compared(*arguments):
        return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)

    checks.equal(compared(old, old, "--only", ",".join(NAMES)).returncode, 0, "exit code, the same")
    different = compared(old, new, "--only", ",".join(NAMES))
    checks.that(different.returncode == 1 and "steps: 30 -> 29" in different.stdout, "exit code 1 and the difference")
    checks.equal(compared(old, new, "--only", "plan_star").returncode, 0, "exit code, of one that is the same")
    unknown = compared(old, new, "--only", "nothing")
    checks.that(unknown.returncode == 2 and "nothing" in unknown.stderr, "a configuration that is not there is refused")
    checks.that("no such program" in compared(old, folder / "none").stderr, "a build that is not there is refused")


def test(checks, folder):
    first, second = (recorded_runs.record(harness.PROGRAM, NAMES) for _ in range(2))
    for name in NAMES:
        checks.that("failed" not in first[name], f"{name} runs {first[name].get('failed', '')}")
    if checks.failed:
        return
    checks.equal(len(first["held_three"]["losses"]), 30, "losses recorded")
    checks.equal(len(first["held_three"]["parameters"]), 2 * harness.TABLES + 20, "tensors recorded")
    lines, same = recorded_runs.compare(first, second)
    if not checks.that(same, "a build computes the same twice"):
        print("\n".join(lines))
    check_differences(checks, first)
    check_script(checks, first, folder)


if __name__ == "__main__":
    harness.main(test)
