"""Build what is published into dist/, and try each of it out: `tox -e dist`.

The sdist and the wheel are checked and installed, each into a fresh environment, where the demo is
run.  It is also run from `tmux-fanout.pyz`, one file with all dependencies.  Two of these are
compiled; their extension modules have Python version and platform in their names, so that those for
many can lie side by side.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
ZIPAPP = DIST / "tmux-fanout.pyz"

COMPILED = ("httptools", "msgspec")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (  # each with the tags that its wheels may have
    ("manylinux2014_x86_64", "manylinux_2_17_x86_64"),
    ("manylinux2014_aarch64", "manylinux_2_17_aarch64"),
    ("macosx_11_0_arm64",),
)


def run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def run_demo(*command: str | Path, **environment: str) -> None:
    print("+", *command, "demo", flush=True)
    subprocess.run(
        [*command, "demo"], env=os.environ | environment, stdout=subprocess.DEVNULL, check=True
    )


def pip_install(*arguments: str | Path) -> None:
    run(sys.executable, "-m", "pip", "install", "--quiet", *arguments)


def try_out(artifact: Path, directory: Path) -> None:
    """Install an artifact into an environment of its own, and run the demo there."""
    environment = directory / artifact.name
    run(sys.executable, "-m", "venv", environment)
    run(environment / "bin" / "pip", "install", "--quiet", artifact)
    run_demo(environment / "bin" / "tmux-fanout")
    if not (environment / "share" / "man" / "man1" / "tmux-fanout.1").exists():
        sys.exit(f"{artifact.name} has no man pages")


def extensions(directory: Path) -> Iterator[Path]:
    """Yield the extension modules below a directory, relative to it."""
    return (path.relative_to(directory) for path in directory.rglob("*.so"))


def add_extensions(site: Path, directory: Path) -> None:
    """Put the extension modules for all Pythons and platforms beside those of this one."""
    packages = {path.parts[0] for path in extensions(site)}
    if packages != set(COMPILED):
        sys.exit(f"compiled dependencies are {sorted(packages)}; correct COMPILED")
    versions = {each.name: each.version for each in distributions(path=[str(site)])}
    wanted = [f"{name}=={versions[name]}" for name in COMPILED]
    for python in PYTHONS:
        for tags in PLATFORMS:
            target = directory / f"{python}-{tags[0]}"
            platforms = [word for tag in tags for word in ("--platform", tag)]
            only = ("--no-deps", "--only-binary", ":all:", "--python-version", python)
            try:
                pip_install("--target", target, *only, *platforms, *wanted)
            except subprocess.CalledProcessError:
                print(f"{ZIPAPP.name} will not run on Python {python}, {tags[0]}", flush=True)
                continue
            for path in extensions(target):
                shutil.copy(target / path, site / path)


def build_zipapp(wheel: Path, directory: Path) -> None:
    """Build the single file from the wheel and its dependencies."""
    site = directory / "site"
    pip_install("--target", site, wheel)
    add_extensions(site, directory)
    contents = ("--site-packages", site, "--console-script", "tmux-fanout")
    # Worker processes find the code by PYTHONPATH.
    options = ("--extend-pythonpath", "--compressed", "--reproducible")
    run("shiv", *contents, *options, "--output-file", ZIPAPP)


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run("twine", "check", "--strict", wheel, sdist)
    with TemporaryDirectory(prefix="tmux-fanout-dist-") as name:
        directory = Path(name)
        for artifact in (wheel, sdist):
            try_out(artifact, directory)
        build_zipapp(wheel, directory)
        run_demo(sys.executable, ZIPAPP, SHIV_ROOT=str(directory / "unpacked"))


if __name__ == "__main__":
    main()
