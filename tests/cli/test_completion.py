"""Completion by the shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, environment, run

CONFIG = """
[run]
limit = 3
[api.lookup]
url = "http://127.0.0.1:1"
[api.score]
[api."two words"]
[api."$(touch owned)"]
[api."line\\nbreak"]
"""
CASES = [
    (["re"], ["report"], True),
    (
        [""],
        [
            *("check", "completion", "convert", "demo", "explain", "plan", "presets", "report"),
            *("run", "test", "verify"),
        ],
        True,
    ),
    (["--total-l"], ["--total-limit"], True),
    (["--vers"], ["--version"], True),
    (["-a", "x=http://h", "--trans"], ["--transport"], False),
    (["-a", "x=http://h", "--transport", "h"], ["httpx"], False),
    (["-a", ""], ["lookup=", "score="], False),
    (["-a", "lo"], ["lookup="], False),
    (["--api", "s"], ["score="], False),
    (["run", "-c", "nix.toml", "-a", ""], [], False),
    (["run", "-c", "broken.toml", "-a", ""], [], False),
    (["check", "-a", "s"], ["score="], False),
    (["-l", "3", "-X", "GET", "-a", "x=http://h", "--sel"], ["--select"], False),
    (["-l"], ["--limit"], None),
    (["-o", "r"], [], True),
    (["records"], [], True),
    (["report", "--t"], ["--text"], False),
    (["report", "out"], [], True),
    (["verify", "a", "b"], [], True),
    (["completion", ""], ["bash", "zsh", "fish"], False),
    (["nonsense", "--nonsense", ""], [], True),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tmux-fanout.toml").write_text(CONFIG)
    (tmp_path / "broken.toml").write_text("[api.a\n")
    return tmp_path


def completed(shell: str, words: list[str], folder: Path) -> list[tuple[str, str]]:
    """Return the kinds and values that the program gives a shell's script."""
    env = environment(
        _TMUX_FANOUT_COMPLETE=f"{shell}_complete",
        COMP_WORDS=" ".join(["tmux-fanout", *words]),
        COMP_CWORD=words[-1] if shell == "fish" else str(len(words)),
    )
    done = subprocess.run(
        COMMAND, cwd=folder, env=env, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    rows = done.stdout.decode().splitlines()
    if shell == "zsh":
        return list(zip(rows[::3], (value.replace("\\:", ":") for value in rows[1::3])))
    pairs = [row.split("\t")[0].partition(",") for row in rows]
    return [(kind, value) for kind, _, value in pairs]


@pytest.mark.parametrize(("words", "expected", "has_files"), CASES)
def test_words_are_completed(
    words: list[str], expected: list[str], has_files: bool | None, folder: Path
) -> None:
    """Commands, options, choices, files and names of APIs, with `run` written or not."""
    found = completed("bash", words, folder)
    plain = [value for kind, value in found if kind == "plain"]
    if has_files is None:
        assert set(expected) <= {*plain, *expected}
    else:
        assert sorted(plain) == sorted(expected)
        assert ("file" in [kind for kind, _ in found]) == has_files


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize(("words", "expected"), [(["-a", "lo"], "lookup="), (["rep"], "report")])
def test_other_shells_complete_the_same(
    shell: str, words: list[str], expected: str, folder: Path
) -> None:
    """Each in its own format."""
    assert ("plain", expected) in completed(shell, words, folder)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_one_of_the_shell(shell: str) -> None:
    """It asks the program for completions, and the shell can read it, where it is installed."""
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"_TMUX_FANOUT_COMPLETE={shell}_complete" in done.stdout.decode()
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, check=True, timeout=PATIENCE)


def test_bash_completes(folder: Path) -> None:
    """The function that the script defines sets what bash shows."""
    program = folder / "bin" / "tmux-fanout"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = """
    PATH=$PWD/bin:$PATH
    eval "$(tmux-fanout completion bash)"
    COMP_WORDS=(tmux-fanout -a lo); COMP_CWORD=2
    _tmux_fanout_completion tmux-fanout lo 2> errors
    echo "${COMPREPLY[@]}"
    """
    bash = ["bash", "-c", script]
    done = subprocess.run(
        bash, cwd=folder, env=environment(), capture_output=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == b"lookup=\n"
    assert not (folder / "owned").exists()


def test_another_shell_is_a_mistake() -> None:
    """The message has those that there are."""
    done = run("completion", "tcsh")
    assert done.returncode == 2
    assert b"'bash', 'zsh', 'fish'" in done.stderr
