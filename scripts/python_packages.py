"""Makes sure that a script finds the Python packages it needs; the distribution's interpreter has those that scripts/install_deps.sh installs."""
import importlib.util
import os
import subprocess
import sys

SYSTEM_PYTHON = "/usr/bin/python3"


def require(*modules: str) -> None:
    """Returns when all modules are there. Otherwise starts the script again with the distribution's interpreter, if that one has them, or ends
    the script with the packages to install. Call it before the imports."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    found = "import sys, importlib.util as u; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
    if os.access(SYSTEM_PYTHON, os.X_OK) and subprocess.run([SYSTEM_PYTHON, "-c", found, *modules], check=False).returncode == 0:
        os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, *sys.argv])
    packages = " ".join(f"python3-{module}" for module in missing)
    sys.exit(f"{os.path.basename(sys.argv[0])}: no Python module {', '.join(missing)} here: apt-get install {packages}")
