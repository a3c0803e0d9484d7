"""configs/criteo_sample.yaml learns from real rows: the last 20 % of a small Criteo sample, held out, reach AUC 0.750
within 3 epochs."""
import yaml

import harness


def test(checks, folder):
    rows = harness.real_rows()
    config = harness.REPOSITORY / "configs/criteo_sample.yaml"
    settings = yaml.safe_load(config.read_text())
    checks.at_most(settings["train"]["epochs"], 3, "epochs")
    run = harness.train(config, folder / "run", 2, ("--set", f"data.train=[{rows}]"), timeout=280)
    held_out = run.summary["eval"]["samples"]
    share = held_out / (held_out + run.summary["samples"] / settings["train"]["epochs"])
    checks.that(0.19 < share < 0.21, f"{share:.1%} of the samples are held out")
    checks.at_least(run.auc, 0.750, "AUC of the held-out samples")


harness.main(test)
