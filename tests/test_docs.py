"""The documentation is true: its commands are run here, and its tables name what exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import click
import pytest
from support.certificates import Certificates
from support.command import COMMAND, PATIENCE, environment, start
from support.pages import DOCS, README, ROOT, Page, pages
from support.providers import KEYS

import tmux_fanout
from tmux_fanout import ApiStatistics, ErrorInfo, Failure, Outcome, Record, Result, RunStatistics
from tmux_fanout.cli.configuration import RUN_KEYS
from tmux_fanout.cli.main import cli
from tmux_fanout.cli.options import RUN_OPTIONS
from tmux_fanout.cli.types import PROFILE_VARIABLE, VARIABLE
from tmux_fanout.core.config.config_file import API_KEYS
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.version import is_compiled

PAGES = pages()
SET_UP = [
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/tmux-fanout demo",
    "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox",
]
README_LINES = 200
SOURCE = Path(tmux_fanout.__file__).parent


def page(name: str) -> Page:
    """Return a page of docs/ by its path there."""
    return next(each for each in PAGES if each.path == DOCS / name)


def having(what: str) -> pytest.MarkDecorator:
    """Run a test once for each page that has steps, programs or the like."""
    return pytest.mark.parametrize("page", [p for p in PAGES if getattr(p, what)], ids=repr)


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """The demo APIs, left up as the tutorial says; the pages take their port to be 8080."""
    with start("demo", "--serve") as process:
        assert process.stderr
        text = (process.stderr.readline() + process.stderr.readline()).decode()
        yield re.findall(r"127\.0\.0\.1:(\d+)", text)[0]
        process.kill()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment where `tmux-fanout` is the program under test, and `tail -F` ends."""
    folder = tmp_path_factory.mktemp("bin")
    programs = {
        "tmux-fanout": f'exec {" ".join(COMMAND)} "$@"',
        "tail": f'[ "$1" = -F ] && exec cat "$2"\nPATH={os.environ["PATH"]} exec tail "$@"',
    }
    for name, script in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")


def without_times(text: str) -> str:
    return re.sub(r'"seconds":[\d.]+', '"seconds":0', text)


@having("steps")
def test_console_blocks_show_what_they_print(
    page: Page, port: str, shell: Mapping[str, str], tmp_path: Path
) -> None:
    """One shell runs the commands of a page in turn; they print what is shown but for timings."""
    script = "".join(f"{step.command}\ns=$?; echo ---; (exit $s)\n" for step in page.steps)
    done = subprocess.run(
        ["bash"],
        input=script.replace("8080", port).encode(),
        cwd=tmp_path,
        env=shell,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr.decode() == ""
    printed = without_times(done.stdout.decode().replace(f"127.0.0.1:{port}", "127.0.0.1:8080"))
    assert printed.split("---\n") == [*(without_times(step.output) for step in page.steps), ""]


@having("programs")
def test_programs_print_what_is_shown(page: Page, port: str, tmp_path: Path) -> None:
    """Each Python program runs as it stands, and prints the block below it."""
    for name, content in page.files.items():
        (tmp_path / name).write_text(content.replace("8080", port))
    for text, output in page.programs:
        path = tmp_path / "program.py"
        path.write_text(text.replace("8080", port))
        done = subprocess.run(
            [sys.executable, path],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), text
        assert done.stdout.decode() == output, text


@pytest.mark.parametrize("page", [p for p in PAGES if p.blocks("toml")], ids=repr)
def test_toml_blocks_are_configurations(
    page: Page,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each configuration passes `check`, given the variables and files that it names."""
    certificates = Certificates()
    files = {
        "/etc/pki/internal.pem": certificates.write_authority(tmp_path),
        **dict(zip(("client.pem", "client.key"), certificates.write_identity(tmp_path, "client"))),
    }
    for name, content in page.files.items():
        (tmp_path / name).write_text(content)
    for text in page.blocks("toml"):
        path = tmp_path / "tmux-fanout.toml"
        for folder in re.findall(r'files_root = "(\w+)"', text):
            (tmp_path / folder).mkdir(exist_ok=True)
        path.write_text(
            re.sub(r'"([\w./]+\.(?:pem|key))"', lambda match: f'"{files[match[1]]}"', text)
        )
        for variable, value in (
            KEYS | dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "set")
        ).items():
            monkeypatch.setenv(variable, value)
        status = cli(["check", "-c", str(path)], standalone_mode=False, obj=[])
        out, err = capfd.readouterr()
        assert (status, err) == (0, ""), text
        names = re.findall(r"^\[api\.(\w+)\]", text, re.MULTILINE)
        assert list(tomllib.loads(out)["api"]) == names


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any("[[test]]" in text for text in p.blocks("toml"))], ids=repr
)
def test_configurations_pass_their_own_tests(
    page: Page, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They hold without any secret, and so do the promises of a run, whatever faults it meets."""
    for text in page.blocks("toml"):
        if "[[test]]" in text:
            path = tmp_path / "tmux-fanout.toml"
            path.write_text(text)
            status = cli(["test", "-c", str(path)], standalone_mode=False, obj=[])
            out, err = capfd.readouterr()
            assert (status, err) == (0, ""), out
            for seed in ("1", "2", "3"):
                args = ["test", "-c", str(path), "--chaos", seed, "--records", "60"]
                status = cli(args, standalone_mode=False, obj=[])
                out, err = capfd.readouterr()
                assert (status, err) == (0, ""), out


def test_blocks_are_tried_out_or_known() -> None:
    """No command hides from these tests in a block of another language, or of none."""
    languages = {"console", "python", "output", "toml", "text", "ini", ""}
    others = set()
    for each in PAGES:
        assert each.languages <= languages, each
        others |= {line for block in each.blocks("") for line in block.splitlines()}
    assert others == {
        *SET_UP,
        "cat records.jsonl | tmux-fanout -a one=https://a.example/v1 -a two=https://b.example/v1",
        "tmux-fanout demo --serve --port 8080",
    }


def test_readme_is_short_and_has_the_two_commands() -> None:
    """The README says what this is and links to the rest; the rest is in docs/."""
    text = README.read_text()
    assert len(text.splitlines()) <= README_LINES
    assert [line for line in text.splitlines() if line in SET_UP] == SET_UP
    assert text.count("terminal multiplexer") == 1


def test_readme_links_lead_somewhere() -> None:
    """Relative links in the README name files; Sphinx looks after the links of the other pages."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", README.read_text())
    relative = [link for link in links if "://" not in link]
    assert relative
    assert [link for link in relative if not (ROOT / link).exists()] == []


def test_continuous_integration_runs_the_second_command() -> None:
    """.ci/run is the README's command for the tests, and nothing cleverer."""
    if not (ROOT / ".ci" / "run").exists():
        pytest.skip("not in a clone of the repository")
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if ".venv" in line]
    assert " && ".join(commands).replace(" --quiet", "") == SET_UP[1]


def test_keys_of_an_api_are_documented() -> None:
    """The table of keys has each key that an API may have in a file, and no other."""
    documented = [row[0] for row in page("reference/configuration.md").table("Keys of an API")]
    assert sorted(documented) == sorted(f"`{key}`" for key in API_KEYS)


def test_options_that_a_file_cannot_have_are_named() -> None:
    """The introduction names each, but for those that describe the -a APIs."""
    introduction = page("reference/command.md").text.partition("\n## ")[0]
    for option in RUN_OPTIONS:
        if not option.in_file and not option.is_ordered:
            assert f"`{option.opts[-1]}`" in introduction


def test_keys_of_run_are_documented() -> None:
    """The table of `[run]` has each key that the table may have in a file, and no other."""
    documented = [row[0] for row in page("reference/configuration.md").table("Keys of `[run]`")]
    assert sorted(documented) == sorted(f"`{key}`" for key in RUN_KEYS)


def test_commands_are_documented() -> None:
    """The reference has a row and a section for each command, and its help, but not that of run."""
    text = page("reference/command.md").text
    sections = re.findall(r"^## `(\w+)`$", text, re.MULTILINE)
    assert sorted(sections) == sorted(cli.commands)
    rows = [row[0] for row in page("reference/command.md").table("Command line")]
    assert rows == [f"[`{name}`](#{name})" for name in sections]
    shown = re.findall(r"^\$ tmux-fanout (\w+) --help", text, re.MULTILINE)
    assert sorted(shown) == sorted({*cli.commands} - {"check"})


def test_man_page_has_all_options() -> None:
    """It is in the repository, as an installation from it has no Sphinx; `tox -e man` builds it."""
    text = (DOCS / "man" / "man1" / "tmux-fanout.1").read_text().replace("\\-", "-")
    for command in cli.commands.values():
        start = text.index(f".SH {str(command.name).upper()}\n")
        section = text[start : text.find("\n.SH ", start)]
        shared = {*RUN_OPTIONS} if command.name in ("check", "explain", "plan") else set()
        for parameter in {*command.params} - shared:
            if isinstance(parameter, click.Option):
                assert all(option in section for option in parameter.opts), command.name


def test_options_that_pages_name_exist() -> None:
    """An option in code type is one of a command, or of the benchmarks."""
    benchmarks = (ROOT / "benchmarks" / "run.py").read_text()
    known = {"--help", "-h", "--version", *re.findall(r'"(--[a-z]+)"', benchmarks)}
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                known |= {*parameter.opts, *parameter.secondary_opts}
    for each in PAGES:
        prose = re.sub(r"^```.*?^```$", "", each.text, flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", prose):
            if re.match(r"(?:tmux-fanout |--?\w)", code):
                named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", code))
                assert named <= known, f"{each}: {code}"


def test_exit_statuses_are_documented() -> None:
    """The table of exit statuses has those of every ending, and the fixed ones."""
    endings = {exit_status(ending, all_ok=ok) for ending in Ending for ok in (True, False)}
    cells = [row[0] for row in page("reference/exit-status.md").table("Exit status")]
    assert {int(cell.strip("`")) for cell in cells} == endings | {2, 3}


def test_error_kinds_are_documented() -> None:
    """The table of error kinds has them all, and no other."""
    documented = [row[0] for row in page("reference/output.md").table("Error kinds")]
    assert documented == [f"`{kind}`" for kind in get_args(ErrorKind)]


def test_environment_is_documented() -> None:
    """The table of variables has those that the program looks at."""
    names = {row[0].strip("`") for row in page("reference/environment.md").table("Variables")}
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    upper = {name.upper() for name in proxies} - {"HTTP_PROXY"}
    assert names == {VARIABLE, PROFILE_VARIABLE, *proxies, *upper, "SSL_CERT_FILE", "SSL_CERT_DIR"}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "explanation/architecture.md"])
def test_files_are_where_contributors_are_sent(name: str) -> None:
    """The files and folders that the pages for contributors name exist."""
    named = re.findall(r"`([\w/]+/(?:\w+\.py)?)`", page(name).text)
    missing = [path for path in named if not any((root / path).exists() for root in (ROOT, SOURCE))]
    assert len(named) > 20
    assert missing == []


def test_packages_are_documented() -> None:
    """The table of packages has each that contains modules."""
    folders = {
        path.parent.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.stem != "__init__"
    }
    documented = {row[0].strip("`") for row in page("CONTRIBUTING.md").table("The layout")}
    assert documented == {f"{folder}/" for folder in folders - {Path()}}


def test_functions_that_the_architecture_names_exist() -> None:
    """A class or method in parentheses after a file is in that file."""
    text = page("explanation/architecture.md").text
    named = re.findall(r"`([\w/]+/\w+\.py)`\s+\(`([A-Z]\w+)(?:\.(\w+))?`", text)
    assert len(named) >= 5
    for path, owner, method in named:
        source = (SOURCE / path).read_text()
        assert f"class {owner}" in source, path
        assert f"def {method}" in source, path


@pytest.mark.parametrize(
    "kind", [Result, Outcome, ErrorInfo, Failure, Record, RunStatistics, ApiStatistics]
)
def test_attributes_of_results_are_documented(kind: type) -> None:
    """The library's page has a row for each attribute of what comes out, and for no other."""
    rows = page("reference/library.md").table(f"`{kind.__name__}`")
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    methods = {name for name in vars(kind) if callable(getattr(kind, name))}
    example = kind("a") if kind is ApiStatistics else kind(["a"]) if kind is RunStatistics else kind
    public = {name for name in dir(example) if not name.startswith("_")}
    assert named == public - methods - set(dir(kind.__base__)) - {"own"}


def test_public_names_are_documented() -> None:
    """The library's page takes every public name in, which needs a docstring for that."""
    text = page("reference/library.md").text
    assert ".. automodule:: tmux_fanout\n   :members:" in text
    excluded = re.findall(r":exclude-members: (.*)", text)[0].split(", ")
    assert all(f".. autofunction:: tmux_fanout.{name}\n" in text for name in excluded)
    public = [name for name in tmux_fanout.__all__ if name != "__version__"]
    rows = page("reference/library.md").table("Library")
    named = {name for row in rows for name in re.findall(r"`(\w+)", row[0])}
    assert set(public) <= named
    lacking = [name for name in public if not getattr(tmux_fanout, name).__doc__]
    assert lacking == [] or is_compiled()  # mypyc drops those of classes
