"""The README says what is true: each command in it is run here, or is what CI itself runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.command import COMMAND, environment, run, start

from tmux_fanout.core.config.config_file import API_KEYS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SET_UP = [
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/tmux-fanout demo",
    "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox",
]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, or those of none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def steps() -> list[tuple[str, str]]:
    """The commands of all console blocks, each with the output that stands below it."""
    session = "".join(blocks("console"))
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The demo APIs, left up as the README says."""
    with start("demo", "--serve") as process:
        assert process.stderr
        text = (process.stderr.readline() + process.stderr.readline()).decode()
        yield int(re.findall(r"127\.0\.0\.1:(\d+)", text)[0])
        process.kill()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `tmux-fanout` is the program under test."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "tmux-fanout"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")


def without_times(text: str) -> str:
    return re.sub(r'"seconds":[\d.]+', '"seconds":0', text)


def test_console_blocks_give_what_they_show(
    port: int, tools: dict[str, str], tmp_path: Path
) -> None:
    """One shell runs all commands in turn; the outputs are those shown, timings apart."""
    wanted = steps()
    assert len(wanted) >= 7
    script = "".join(f"{command}\ns=$?; echo ---; (exit $s)\n" for command, _ in wanted)
    done = subprocess.run(
        ["bash"],
        input=script.replace("8080", str(port)).encode(),
        cwd=tmp_path,
        env=tools,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    output = done.stdout.decode().replace(f"127.0.0.1:{port}", "127.0.0.1:8080")
    shown = without_times(output).split("---\n")
    assert shown == [*(without_times(output) for _, output in wanted), ""]


def test_python_blocks_run(port: int, tmp_path: Path) -> None:
    """The programs of the README run as they stand."""
    programs = blocks("python")
    assert len(programs) == 2
    shown = []
    for program in programs:
        path = tmp_path / "program.py"
        path.write_text(program.replace("8080", str(port)))
        done = subprocess.run(
            [sys.executable, path],
            env=environment(),
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == b""
        shown.append(done.stdout.decode())
    assert shown == [
        "0 True {'words': 1}\n1 True {'words': 1}\n",
        "{'id': 1} 200 True\n{'id': 2} 200 True\n",
    ]


def test_toml_blocks_are_configurations(tmp_path: Path) -> None:
    """Every configuration of the README passes `check`, with the variables and files it names."""
    texts = blocks("toml")
    assert texts
    certificates = Certificates()
    files = {
        "/etc/pki/internal.pem": certificates.write_authority(tmp_path),
        **dict(zip(("client.pem", "client.key"), certificates.write_identity(tmp_path, "client"))),
    }
    for text in texts:
        path = tmp_path / "tmux-fanout.toml"
        path.write_text(
            re.sub(r'"([\w./]+\.(?:pem|key))"', lambda match: f'"{files[match[1]]}"', text)
        )
        variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "set")
        done = run("check", "-c", str(path), env=environment(**variables))
        assert (done.returncode, done.stderr) == (0, b""), text
        names = re.findall(r"^\[api\.(\w+)\]", text, re.MULTILINE)
        assert list(tomllib.loads(done.stdout.decode())["api"]) == names


def test_table_of_keys_has_them_all() -> None:
    """Each key that an API may have in a file is in the README's table."""
    table = README.partition("### The keys of an API")[2].partition("###")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    keys = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert keys == set(API_KEYS)


def test_plain_blocks_are_known() -> None:
    """What stands in the other blocks is the set-up, the demo, or a line about no real host."""
    others = [line for block in blocks("") for line in block.splitlines()]
    assert [line for line in others if line in SET_UP] == SET_UP
    assert [line for line in others if line not in SET_UP] == [
        "cat records.jsonl | tmux-fanout -a one=https://a.example/v1 -a two=https://b.example/v1",
        "tmux-fanout demo --serve --port 8080",
        "cat records.jsonl | tmux-fanout",
    ]


def test_continuous_integration_runs_the_second_command() -> None:
    """.ci/run is the README's command for the tests, and nothing cleverer."""
    if not (ROOT / ".ci" / "run").exists():
        pytest.skip("not in a clone of the repository")
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if ".venv" in line]
    assert " && ".join(commands).replace(" --quiet", "") == SET_UP[1]


def test_options_are_those_of_the_help() -> None:
    """The list of options is the output of `run --help`, word for word."""
    (shown,) = blocks("text")
    assert shown == run("run", "--help").stdout.decode(), textwrap.dedent(
        """
        README.md is behind: paste the output of COLUMNS=100 tmux-fanout run --help
        """
    )
