"""What the how-to on clusters shows works, on this machine and with small files."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import COMMAND, environment, records
from support.dask import Dask
from support.loopback import Loopback
from support.pages import DOCS

BLOCKS = re.findall(r"```text\n(.*?)```", (DOCS / "how-to/clusters.md").read_text(), re.DOTALL)


def block(start: str) -> str:
    """Return the block of the page that starts like this."""
    found: list[str] = [each for each in BLOCKS if each.startswith(start)]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def folder(tmp_path: Path, server: Loopback) -> Path:
    """A folder with input, a configuration, and programs that stand for others."""
    pytest.importorskip("distributed", reason="Dask is not installed: tox -e cluster")
    (tmp_path / "in.jsonl").write_bytes(records(40))
    (tmp_path / "enrich.toml").write_text(f'[api.x]\nurl = "{server.url()}"\n')
    (tmp_path / "bin").mkdir()
    programs = {
        "tmux-fanout": f'exec {" ".join(COMMAND)} "$@"',
        "dask": f'exec {sys.executable} -m dask "$@"',
        "srun": 'shift 2; exec "$@"',
    }
    for name, script in programs.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return tmp_path


def shell(script: str, folder: Path, **more: str) -> None:
    """Run a script; what it leaves in the background ends with it."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = f"set -e\ntrap 'kill $(jobs -p) 2> /dev/null || :' EXIT\n{script}"
    subprocess.run(
        ["bash", "-c", ended],
        cwd=folder,
        env=environment(PATH=path, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    )


def ids(path: Path) -> list[int]:
    return [json.loads(line)["record"]["id"] for line in path.read_bytes().splitlines()]


def test_trying_it_out(folder: Path, server: Loopback) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    script = block("dask scheduler").replace("8786", port)
    script = script.replace("http://127.0.0.1:8080/fast", server.url())
    shell(f"{script.rstrip()} > out.jsonl", folder)
    assert ids(folder / "out.jsonl") == list(range(40))


def test_slurm(folder: Path) -> None:
    """Here `srun` runs a single task."""
    script = block("srun --ntasks 1").replace(
        "dask scheduler", "dask scheduler --host 127.0.0.1 --port 0"
    )
    waiting = "until grep -qs address scheduler.json; do sleep 0.1; done\n"
    first, rest = script.split("\n", 1)
    shell(f"{first}\n{waiting}{rest}", folder)
    assert ids(folder / "out.jsonl") == list(range(40))


def test_without_an_engine(folder: Path) -> None:
    """Four files hold all records, whose results are resumed as well."""
    shell(block("split"), folder)
    for number in range(4):
        for _ in range(2):
            shell(block("n=$SLURM"), folder, SLURM_ARRAY_TASK_ID=str(number))
    found = [number for part in range(4) for number in ids(folder / f"out-{part}.jsonl")]
    assert found == list(range(40))


def test_program_for_data_in_dask(three: Dask, folder: Path, server: Loopback) -> None:
    program = block("from dask.bag")
    for shown, used in (
        ("tls://scheduler:8786", three.address),
        ("https://api.example.com/v1", server.url()),
        ("s3://in/*.jsonl", str(folder / "in.jsonl")),
        ("s3://out/*.jsonl", str(folder / "bag*.jsonl")),
        ("s3://out/", str(folder / "files")),
    ):
        assert shown in program
        program = program.replace(shown, used)
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=120)
    [bag], [part] = folder.glob("bag*"), folder.glob("files/*")
    assert bag.read_text().splitlines() == part.read_text().splitlines()
    assert [json.loads(line)["id"] for line in part.read_text().splitlines()] == list(range(40))


def test_kubernetes() -> None:
    """The manifests are YAML, and the containers run commands that are there."""
    yaml = pytest.importorskip("yaml", reason="Dask, which brings it, is not installed")
    cluster, job = (
        yaml.safe_load(block(f"apiVersion: {group}"))
        for group in ("kubernetes.dask.org", "batch/v1")
    )
    [worker] = cluster["spec"]["worker"]["spec"]["containers"]
    [scheduler] = cluster["spec"]["scheduler"]["spec"]["containers"]
    assert worker["args"][:2] == ["dask", "worker"]
    assert scheduler["args"] == ["dask", "scheduler"]
    [enrich] = job["spec"]["template"]["spec"]["containers"]
    assert enrich["command"][enrich["command"].index("--cluster") + 1].endswith(":8786")
