"""scripts/check_includes.py on small made-up trees: what is right passes, each kind of fault is found with its file and line."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_includes.py"
GOOD = {
    "lib/base/error.hpp": "#include <string>\n",
    "lib/base/timer.hpp": "#include <chrono>\n",
    "lib/base/version.hpp.in": "",
    "lib/comm/comm.hpp": '#include "base/error.hpp"\n',
    "lib/comm/mpi_check.hpp": "#include <mpi.h>\n",
    "lib/comm/mpi_comm.hpp": '#include "comm/comm.hpp"\n',
    "lib/comm/mpi_comm.cpp": '#include "comm/mpi_check.hpp"\n#include "comm/mpi_comm.hpp"\n',
    "lib/placement/cost.hpp": '#include <vector>\n#include "base/error.hpp"\n',
    "lib/config/yaml.cpp": "#include <yaml-cpp/yaml.h>\n",
    "kernels/backend.hpp": '#include "base/error.hpp"\n',
    "kernels/cuda/gemm.cu": '#include <cuda_runtime.h>\n#include "kernels/backend.hpp"\n',
    "lib/train/trainer.hpp": '#include "kernels/backend.hpp"\n#include "comm/comm.hpp"\n',
    "apps/train.cpp": '#include "base/version.hpp"\n#include "comm/mpi_comm.hpp"\n',
}


def check(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([sys.executable, SCRIPT, "--root", root], capture_output=True, text=True)


class CheckIncludes(unittest.TestCase):
    def test_right_directions_pass(self):
        result = check(GOOD)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)

    def test_faults_are_found(self):
        faults = {
            "upwards": ("lib/base/log.hpp", '#include "comm/comm.hpp"\n', "log.hpp:1: lib/base must not include lib/comm"),
            "sibling": ("lib/comm/x.hpp", '\n#include "kernels/backend.hpp"\n', "x.hpp:2: lib/comm must not include kernels"),
            "train above": ("lib/model/x.hpp", '#include "train/trainer.hpp"\n', "lib/model must not include lib/train"),
            "mpi": ("apps/x.cpp", "#include <mpi.h>\n", "apps/x.cpp:1: <mpi.h> belongs to lib/comm/mpi_"),
            "mpi through ours": ("apps/x.cpp", '#include "comm/mpi_check.hpp"\n', "(through lib/comm/mpi_check.hpp)"),
            "cuda": ("lib/train/x.cpp", "#include <cuda_runtime_api.h>\n", "belongs to kernels/cuda/"),
            "nccl": ("lib/comm/x.cpp", "# include <nccl.h>\n", "belongs to kernels/cuda/"),
            "yaml": ("lib/data/x.cpp", "#include <yaml-cpp/yaml.h>\n", "belongs to lib/config/"),
            "impure": ("lib/placement/x.cpp", "#include <nlohmann/json.hpp>\n", "standard library and lib/base alone"),
            "clock": ("lib/placement/x.cpp", '#include "base/timer.hpp"\n', "must not use base/timer.hpp"),
            "std clock": ("lib/placement/x.cpp", "#include <chrono>\n", "must not use chrono"),
            "unknown": ("lib/data/x.cpp", '#include "data/nowhere.hpp"\n', '"data/nowhere.hpp" is no file of ours'),
            "new folder": ("lib/misc/x.cpp", "", "in no folder"),
        }
        for name, (file, text, message) in faults.items():
            with self.subTest(name):
                result = check({**GOOD, file: text})
                self.assertEqual(result.returncode, 1)
                self.assertIn(message, result.stdout)

    def test_comments_are_not_includes(self):
        result = check({**GOOD, "lib/data/x.cpp": "// #include <mpi.h>\n/*\n#include <mpi.h>\n*/\n"})
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_an_empty_tree_is_an_error(self):
        self.assertNotEqual(check({}).returncode, 0)


if __name__ == "__main__":
    unittest.main()
