"""scripts/run.sh and scripts/test.sh with cmake, ctest, mpirun and sparrow replaced by recorders: what they call, with which arguments, and how they end."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
# Appends its name and arguments to $CALLS as JSON, then prints and exits as $SAY_<name> and $EXIT_<name> say.
RECORDER = f"""#!{sys.executable}
import json, os, sys
name = os.path.basename(sys.argv[0])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([name] + sys.argv[1:]) + "\\n")
text = os.environ.get("SAY_" + name, "")
if "--output-log" in sys.argv and text:
    open(sys.argv[sys.argv.index("--output-log") + 1], "w").write(text)
sys.exit(int(os.environ.get("EXIT_" + name, "0")))
"""


class ScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name, "a clone")
        for sub in ("scripts", "bin", "build", "build-asan", "configs", "elsewhere"):
            (self.root / sub).mkdir(parents=True)
        for name in ("run.sh", "test.sh"):
            shutil.copy(SCRIPTS / name, self.root / "scripts" / name)
        for name in ("bin/cmake", "bin/ctest", "bin/mpirun", "build/sparrow", "scripts/install_deps.sh"):
            (self.root / name).write_text(RECORDER)
            (self.root / name).chmod(0o755)
        (self.root / "configs/quickstart.yaml").touch()
        (self.root / "elsewhere/my config.yaml").touch()

    def run_script(self, name, *arguments, **environment):
        calls = self.root / "calls"
        calls.unlink(missing_ok=True)
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        result = subprocess.run(
            [self.root / "scripts" / name, *arguments], cwd=self.root / "elsewhere", capture_output=True, text=True,
            env={**os.environ, "PATH": path, "CALLS": str(calls), **environment})
        recorded = calls.read_text().splitlines() if calls.exists() else []
        return result, [json.loads(line) for line in recorded]

    def test_run_without_arguments_trains_the_quickstart_on_two_ranks(self):
        result, calls = self.run_script("run.sh")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([call[0] for call in calls], ["install_deps.sh", "cmake", "cmake", "sparrow", "mpirun"])
        sparrow, config = str(self.root / "build/sparrow"), str(self.root / "configs/quickstart.yaml")
        self.assertEqual(calls[3], ["sparrow", "generate", "--config", config])
        self.assertEqual(calls[4], ["mpirun", "-n", "2", sparrow, "train", config])

    def test_run_passes_arguments_unchanged(self):
        setting = 'data.train=[a b.tsv, "$x*"]'
        result, calls = self.run_script("run.sh", "-n", "3", "my config.yaml", "--set", setting, "--set=train.seed=2", "--", "--log", "a b")
        self.assertEqual(result.returncode, 0, result.stderr)
        settings = ["--set", setting, "--set", "train.seed=2"]
        self.assertEqual(calls[3][1:], ["generate", "--config", "my config.yaml", *settings])
        self.assertEqual(calls[4][1:3], ["-n", "3"])
        self.assertEqual(calls[4][4:], ["train", "my config.yaml", *settings, "--log", "a b"])

    def test_run_ends_with_the_exit_code_of_the_training(self):
        self.assertEqual(self.run_script("run.sh", EXIT_mpirun="42")[0].returncode, 42)

    def test_run_stops_where_a_step_fails(self):
        for step in ("install_deps.sh", "cmake", "sparrow"):
            with self.subTest(step):
                result, calls = self.run_script("run.sh", **{f"EXIT_{step}": "3"})
                self.assertEqual(result.returncode, 3)
                self.assertEqual(calls[-1][0], step)

    def test_run_refuses_what_it_does_not_know(self):
        for arguments in (["-n"], ["-n", "0"], ["-n", "two"], ["--ranks", "2"], ["--set"], ["nowhere.yaml"], ["my config.yaml", "other.yaml"]):
            with self.subTest(arguments):
                result, calls = self.run_script("run.sh", *arguments)
                self.assertEqual((result.returncode, calls), (2, []))
                self.assertIn("run.sh: ", result.stderr)

    def test_test_ends_with_one_line_of_counts(self):
        summaries = {
            "100% tests passed, 0 tests failed out of 7\n": "7 passed, 0 failed",
            "86% tests passed, 1 tests failed out of 7\n\nThe following tests FAILED:\n\t  2 - bad (Failed)\n": "6 passed, 1 failed",
            "60% tests passed, 2 tests failed out of 5\n\nThe following tests did not run:\n\t  3 - a b (Skipped)\n\t 14 - off (Disabled)\n\n"
            "The following tests FAILED:\n\t  2 - bad (Not Run)\n": "2 passed, 2 failed, 2 skipped",
        }
        for text, line in summaries.items():
            with self.subTest(line):
                result, calls = self.run_script("test.sh", "--preset", "asan", "-R", "x", SAY_ctest="\n" + text, EXIT_ctest="8")
                self.assertEqual(result.stdout.splitlines()[-1:], [line], result.stderr)
                self.assertEqual(result.returncode, 8)
                self.assertEqual(calls[-1][:3], ["ctest", "--test-dir", "build-asan"])
                self.assertEqual(calls[-1][-2:], ["-R", "x"])

    def test_test_without_a_summary_fails(self):
        result, _ = self.run_script("test.sh")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(self.run_script("test.sh", "--preset", "fast")[0].returncode, 2)
        self.assertEqual(self.run_script("test.sh", EXIT_cmake="5")[0].returncode, 5)


if __name__ == "__main__":
    unittest.main()
