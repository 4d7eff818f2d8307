"""Install the compiled build, and run the suite against it: `tox -e compiled`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("src", "docs/man", "pyproject.toml", "README.md", "LICENSE")


def main() -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not shutil.which(compiler):
        print(f"skipped: there is no C compiler, {compiler}")
        return
    if not header.exists():
        print(f"skipped: {header} is missing")
        return
    with TemporaryDirectory() as directory:  # mypyc leaves its extension modules in the sources
        for name in SOURCES:
            source, target = ROOT / name, Path(directory, name)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        hooks = os.environ | {"HATCH_BUILD_HOOKS_ENABLE": "1"}
        subprocess.run([*pip, directory], check=True)  # for what it depends on
        subprocess.run([*pip, "--force-reinstall", "--no-deps", directory], env=hooks, check=True)
    suite = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    sys.exit(subprocess.run(suite, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
