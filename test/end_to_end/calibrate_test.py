"""`sparrow calibrate` alone and under mpirun writes a topology that `sparrow plan` and `sparrow train` take; what cannot
be done is said at once, by name."""
import subprocess
import time

import harness

CONFIG = {
    "data": {"max_rows": 300},
    "model": {"embedding_dim": 4, "bottom": [8], "top": [8]},
    "train": {"global_batch": 64},
    "system": {"backend": "host", "threads": 1, "timeout": 30},
    "output": {"checkpoint_every": -1},
}


def call(*command, timeout=120):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout)


def refused(checks, what, said, *arguments, launcher=()):
    begin = time.monotonic()
    run = call(*launcher, harness.PROGRAM, "calibrate", *arguments)
    ours = [line for line in run.stderr.splitlines() if line.startswith("sparrow calibrate: ")]
    checks.that(run.returncode != 0 and len(ours) == 1 and all(text in ours[0] for text in said), f"{what}: {ours or run.stderr[-300:]}")
    checks.at_most(time.monotonic() - begin, 20, "seconds that it took")


def test(checks, folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(512))
    config = folder / "config.yaml"
    harness.write_config(config, harness.merge(CONFIG, {"data": {"train": [data]}, "output": {"dir": str(folder / "run")}}))

    refused(checks, "no configuration", ["no configuration given"])
    refused(checks, "a configuration that is not there", ["absent.yaml", "No such file"], folder / "absent.yaml")
    refused(checks, "two configurations", ["unexpected argument", "more.yaml"], config, "more.yaml")
    refused(checks, "an unknown key", ["train.batch"], config, "--set", "train.batch=1")
    refused(checks, "a folder that is not there", ["absent", "No such file"], config, "--out", folder / "absent/out.yaml")
    refused(checks, "a folder for a file", ["is a directory", str(folder)], config, "--out", folder)
    two = (harness.MPIEXEC, "-n", "2")
    refused(checks, "an unknown key on two ranks, said once", ["train.batch"], config, "--set", "train.batch=1", launcher=two)
    refused(checks, "a folder that is not there, on two ranks", ["absent"], config, "--out", folder / "absent/out.yaml", launcher=two)
    checks.equal(list(folder.glob("*.part*")) + list(folder.glob("topology.yaml")), [], "files left by what was refused")

    for ranks, launcher in ((1, ()), (2, two)):
        out = folder / f"topology_{ranks}.yaml"
        run = call(*launcher, harness.PROGRAM, "calibrate", config, "--out", out)
        if not checks.equal(run.returncode, 0, f"exit code on {ranks} rank(s)"):
            print(run.stderr)
            continue
        checks.that(f"{ranks} rank{'s' if ranks > 1 else ''} on 1 node, host backend, 1 host thread each" in out.read_text(), "the file says how")
        plan = call(harness.PROGRAM, "plan", "--topology", out, "--tables", "criteo-kaggle", "--dim", 16, "--batch", 1024)
        checks.equal(plan.returncode, 0, "a plan for it")
        trained = harness.run(config, folder / f"run_{ranks}", ranks, ("--set", f"system.topology={out}"))
        checks.equal(trained.code, 0, "training on it")


harness.main(test)
