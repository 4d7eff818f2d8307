"""Help and usage errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.command import environment, run, start

from tmux_fanout import __version__
from tmux_fanout.__main__ import main as command
from tmux_fanout.cli.commands.inputs import OTHER_COMMANDS
from tmux_fanout.cli.main import cli
from tmux_fanout.core import histogram

API = ("-a", "x=http://127.0.0.1:1/")


def test_interrupted_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading takes longer than many a run; Ctrl-C during it shows no traceback either."""
    monkeypatch.setitem(sys.modules, "tmux_fanout.cli", Interrupted("tmux_fanout.cli"))
    with pytest.raises(SystemExit) as info:
        command()
    assert info.value.code == 130


class Interrupted(ModuleType):
    """A module whose loading SIGINT interrupts."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "tmux-fanout demo"),
        ([], "| tmux-fanout -a "),
        (["-a", "http://x.test/"], "use NAME=URL, such as -a lookup=https://"),
        (["-a", "x=ftp://x.test/"], "API 'x': url: not an http or https URL; write one "),
        (["-a", "x=http:///path"], "API 'x': url: not an http or https URL; write one "),
        (
            ["-l", "adaptive"],
            'adaptive limits are set in the configuration file, as limit = "adaptive"',
        ),
        (
            ["-a", "x=http://x.test/", "--join", "quorum:2"],
            "join: quorum:2 of one API: use quorum:1 or less, or add APIs",
        ),
        (["-a", "x=http://x.test:99999/"], "API 'x': url: invalid port; use a number from 1"),
        ([*API, *API], "two APIs are called 'x'"),
        ([*API, "-H", "novalue"], "use 'Name: value'"),
        ([*API, "-H", "Bad Name: x"], "invalid header name 'Bad…': use "),
        ([*API, "-H", "Content-Length: 3"], "leave it out"),
        ([*API, "-H", "X: ${NOT_SET_ANYWHERE}"], "headers.X: ${NOT_SET_ANYWHERE} is not set"),
        ([*API, "-X", "GET IT"], "use one such as GET or POST"),
        ([*API, "--timeout", "soon"], "'--timeout': invalid duration 'soon': use 250ms"),
        ([*API, "--timeout", "0"], "--timeout: invalid duration 0.0: use more than zero"),
        ([*API, "--window-bytes", "big"], "invalid size 'big': use 64KiB"),
        ([*API, "-l", "0"], "invalid number '0': use a whole number of at least 1"),
        ([*API, "-r", "-1"], "invalid number '-1': use a whole number of at least 0"),
        ([*API, "--transport", "pigeon"], "'pigeon' is not one of"),
        ([*API, "--chunksize", "3"], "--chunk-size"),
        ([*API, "no-such-file"], "'no-such-file' does not exist"),
        ([*API, "/"], "'/' is a directory"),
        ([*API, "http://u:canary@h.test/"], "a URL is not a FILE: use -a NAME=URL"),
        (["-ax=http//h.test/"], "API 'x': url: not an http or https URL; write one "),
        (["demo", "--port", "99999"], "invalid port '99999': use a number from 0 to 65535"),
        (["demo", "--port", "80x"], "invalid port '80x': use a number from 0 to 65535"),
        ([*API, "--workers", "0"], "'--workers': "),
    ],
    ids=str,
)
def test_mistake_is_one_line(args: list[str], expected: str) -> None:
    """A mistake costs one line that says what to use instead, and exit status 2."""
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert expected in text
    assert text.startswith("tmux-fanout: ")
    assert text.count("\n") == 1
    assert "canary" not in text


def test_extra_that_is_not_installed_is_one_line() -> None:
    """`--transport asks` without asks says what to install, before anything is read or sent."""
    code = "import sys; sys.modules['asks'] = None; from tmux_fanout.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *API, "--transport", "asks"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert text.startswith("tmux-fanout: API 'x': --transport: ")
    assert text.endswith("pip install 'tmux-fanout[asks]'\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "args", [["--help"], ["run", "--help"], ["check", "-h"], ["demo", "-h"], ["--version"]]
)
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    """Help needs neither trio nor an HTTP library, so it appears at once."""
    code = (
        "import sys; from tmux_fanout.cli import main\n"
        f"sys.argv[1:] = {args!r}\n"
        "try: main()\n"
        "except SystemExit as exc: assert not exc.code\n"
        "heavy = {'trio', 'httpx', 'asks', 'httptools', 'rich', 'ssl', 'asyncio'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment(), check=False
    )
    assert done.stderr == b""
    assert b"tmux-fanout" in done.stdout


def test_version_says_which_build_it_is() -> None:
    build = "pure Python" if histogram.__file__.endswith(".py") else "compiled"
    assert run("--version").stdout.decode() == f"tmux-fanout {__version__} ({build})\n"


def test_help_that_cannot_be_written_is_one_line() -> None:
    """A full disk under `--help` is one line, without a traceback."""
    with open("/dev/full", "wb") as full, start("--help", stdout=full) as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert err == b"tmux-fanout: cannot write to standard output: No space left on device\n"


def test_help_groups_the_options() -> None:
    """The main help lists the options of `run` under headings, and then the commands."""
    text = run("--help").stdout.decode()
    order = ["APIs:", "--api", "Input and output:", "--max-line", "Limits", "--window-bytes"]
    order += ["Time and failures:", "--drain-timeout", "Reports", "--summary", "Commands:", "demo"]
    index = 0
    for word in order:
        index = text.index(word, index)


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        *(
            (option, f": {option[2:]} is a key of the configuration file: write {option[2:]} = ...")
            for option in ("--preset", "--batch", "--traceparent", "--pages", "--poll", "--auth")
        ),
        ("--stream", ": stream is a key of the configuration file: write stream = ... under [api."),
        ("--json=x", ": json is a key of the configuration file: "),
        ("check --max-tokens 3", ": max_tokens is a key of the configuration file: "),
        ("--concurrency 3", ": use --limit, the maximum attempts in flight for each API"),
        ("--parallel=3", ": use --limit"),
        ("-n 3", ": for the first 3 records, use head -n 3 FILE | tmux-fanout ..."),
        ("check -n 3", ": for the first 3 records"),
        ("--insecure", ": write tls = { verify = false } under [api.NAME] of the configuration"),
        ("--headers x", ": use -H 'NAME: VALUE'"),
        ("presets --json", ". "),
        ("--zzz", ". "),
    ],
)
def test_an_option_that_does_not_exist_has_advice(args: str, advice: str) -> None:
    """What only the configuration file has is no misspelt option."""
    done = run(*args.split())
    assert done.returncode == 2
    option = next(word for word in args.split() if word.startswith("-")).partition("=")[0]
    assert done.stderr.decode().startswith(f"tmux-fanout: No such option '{option}'{advice}")
    assert done.stderr.count(b"\n") == 1


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """A file that cannot be read is an error before anything is sent."""
    missing = tmp_path / "gone" / "records.jsonl"
    done = run(*API, str(missing))
    assert done.returncode == 2
    assert b"does not exist" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-r1", *API, "check"], "'check' does not exist: if you mean the command, put it first: "),
        (["-r1", *API, "chek"], "'chek' does not exist: did you mean the command, tmux-fanout ch"),
        (["chek"], "'chek' does not exist: did you mean the command, tmux-fanout check?"),
        (["verfy", "a", "b"], "'verfy' does not exist: did you mean the command, tmux-fanout ver"),
        (["help"], "'help' does not exist: did you mean tmux-fanout --help?"),
        (["version"], "'version' does not exist: did you mean tmux-fanout --version?"),
    ],
    ids=" ".join,
)
def test_a_command_taken_for_a_file_is_recognised(args: list[str], message: str) -> None:
    """A command may be misspelt, or follow an option, so that it reads as a file."""
    done = run(*args)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"tmux-fanout: {message}")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("explain",)], ids="".join)
def test_a_configuration_given_as_records_is_recognised(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """`check FILE` looks as if it checked FILE; with a format, a .toml may well have records."""
    path = tmp_path / "fan.toml"
    path.write_text('[api.x]\nurl = "http://127.0.0.1:1/"\n')
    done = run(*command, str(path))
    assert (done.returncode, done.stdout) == (2, b"")
    why = "is a configuration file, and a FILE has records: use -c"
    assert done.stderr.decode() == f"tmux-fanout: '{path}' {why} {path}\n"
    assert run("explain", *API, "-i", "lines", str(path)).returncode == 0


def test_commands_that_may_be_meant_exist() -> None:
    """Each command of the program may be taken for a file."""
    assert set(cli.commands) <= set(OTHER_COMMANDS)
