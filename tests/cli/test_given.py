"""The `-a` APIs, and which options hold for which of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import lines, run
from support.configured import configured

from tmux_fanout.core.errors import ConfigError

A, B, C = (("-a", f"{name}=http://127.0.0.1:1/") for name in "abc")
JOB = (*A, *B)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter an empty working directory."""
    monkeypatch.chdir(tmp_path)


def methods(*args: str) -> dict[str, str]:
    return {api.name: api.requests.method for api in configured(*args).plan.apis}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((*JOB,), "POST POST"),
        (("-X", "GET", *JOB), "GET GET"),
        ((*A, "-X", "GET", *B), "GET GET"),
        ((*JOB, "-XGET"), "GET GET"),
        (("-X", "GET", *A, "-X", "PUT", *B), "GET PUT"),
        (("--method=GET", *A, "-XPUT", *B, *C), "GET PUT PUT"),
        (("-X", "GET", *A, *B, "--method", "PUT", *C), "GET GET PUT"),
        (("-X", "GET", *A, "-r1", "--select", "x", "-XPUT", *B), "GET PUT"),
    ],
    ids=" ".join,
)
def test_option_given_several_times_holds_up_to_the_next(
    args: tuple[str, ...], expected: str
) -> None:
    """Given once, it holds for all APIs, wherever it stands."""
    assert " ".join(methods(*args).values()) == expected


@pytest.mark.parametrize(
    ("flag", "values", "key"),
    [
        ("--body", ("id", "text"), "body"),
        ("--body-format", ("form", "raw"), "body_format"),
        ("--select", ("x", "y"), "select"),
        ("--when", ("x", "y"), "when"),
    ],
)
def test_each_such_option_has_its_own_reach(flag: str, values: tuple[str, str], key: str) -> None:
    """An option that is given once still holds for all APIs beside one that is given twice."""
    one, two = values
    apis = configured("-X", "PUT", flag, one, *A, flag, two, *B, "-H", "X: y", *C).apis
    assert [getattr(api, key) for api in apis] == [one, two, two]
    assert {api.method for api in apis} == {"PUT"}
    assert [api.headers for api in apis] == [{"X": "y"}] * 3


def test_headers_add_up_for_all() -> None:
    """-H holds for every API wherever it stands, however often it is given."""
    for api in configured("-H", "X: 1", *A, "-H", "Y: 2", *B, "-H", "X: 3").apis:
        assert api.headers == {"X": "1, 3", "Y": "2"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (*A, "-X", "GET", *B, "-X", "PUT", *C),
            "--method: given several times, each holds for the -a APIs after it, but -a a comes "
            "before the first: put one before it",
        ),
        (
            ("-X", "GET", *A, "-X", "PUT"),
            "--method: given several times, each holds for the -a APIs after it, but there is none "
            "after one of them: leave that one out",
        ),
        (
            ("--when", "x", "--when", "y", *A),
            "--when: given several times, each holds for the -a APIs after it, but there is none",
        ),
        (("--body-format", "raw"), "--body-format: no -a API that it could apply to: add -a NAME="),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_an_option_without_a_clear_api_is_an_error(args: tuple[str, ...], message: str) -> None:
    """No method and no expression is dropped, or guessed at, without a word."""
    with pytest.raises(ConfigError) as info:
        configured(*args)
    assert str(info.value).startswith(message)


def test_the_commands_see_the_same(tmp_path: Path) -> None:
    """`run`, `check` and `explain` give each API its own options."""
    args = ("-X", "GET", *A, "-X", "POST", "--body-format", "form", "--body", "{q: q}", *B)
    done = run("explain", *args, stdin=b'{"q": "x y"}\n')
    assert done.returncode == 0
    assert b"q=x+y" in done.stdout.split(b"record 0, b")[1]
    shown = run("check", *args).stdout.decode()
    assert shown.index('method = "GET"') < shown.index('method = "POST"')
    [line] = lines(run(*args, "-r0", stdin=b'{"q": "x y"}\n').stdout)
    assert list(line["results"]) == ["a", "b"]
