"""`fallback_of` and `fallback_on` through the whole command."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from support.command import lines, records, run
from support.loopback import Loopback


def fussy(body: bytes) -> tuple[int, bytes]:
    """Refuse records whose id is odd."""
    return (404 if body[-2:-1] in b"13579" else 200), body


@pytest.fixture
def config(server: Loopback, tmp_path: Path) -> str:
    """A file in which b is there for the odd records that a refuses."""
    server.replies["/a"] = fussy
    path = tmp_path / "c.toml"
    path.write_text(
        f'[api.a]\nurl = "{server.url("/a")}"\n'
        f'[api.b]\nurl = "{server.url("/b")}"\nfallback_of = "a"\nfallback_on = [404]\n'
        'body = "{id: id, is_b: `true`}"\n'
    )
    return str(path)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_record_has_one_outcome(config: str, workers: str, tmp_path: Path) -> None:
    """The file passes `verify`, and `--resume` goes on with it wherever it was cut."""
    given = tmp_path / "in.jsonl"
    given.write_bytes(records(40))
    output = tmp_path / "out.jsonl"
    more = ("-c", config, str(given), "-o", str(output))
    done = run(*more, "--workers", workers, "--summary", "json")
    assert done.returncode == 0, done.stderr
    whole = lines(output.read_bytes())
    outcomes = [line["results"]["a"] for line in whole]
    assert [list(line["results"]) for line in whole] == [["a"]] * 40
    assert [outcome.get("via") for outcome in outcomes] == [None, "b"] * 20
    assert [outcome["attempts"] for outcome in outcomes] == [1, 2] * 20
    assert list(outcomes[1]) == ["ok", "status", "body", "attempts", "seconds", "via"]
    assert outcomes[1]["body"] == {"id": 1, "is_b": True}
    apis = json.loads(done.stderr.splitlines()[-1])["apis"]
    assert (apis["a"]["calls"], apis["a"]["errors"]) == (40, {"status": 20})
    assert (apis["b"]["calls"], apis["b"]["errors"]) == (20, {})
    assert run("verify", str(given), str(output)).returncode == 0
    output.write_bytes(output.read_bytes()[:-200])
    assert run(*more, "--workers", workers, "--resume").returncode == 0
    assert [line["results"]["a"]["body"] for line in lines(output.read_bytes())] == [
        outcome["body"] for outcome in outcomes
    ]


def test_merge_and_body_have_no_place_for_a_fallback(config: str) -> None:
    """An API with a fallback is one API."""
    merged = lines(run("-c", config, "-e", "merge", stdin=records(2)).stdout)
    assert merged == [
        {"id": 0, "a": {"id": 0}},
        {"id": 1, "a": {"id": 1, "is_b": True}},
    ]
    bodies = run("-c", config, "-e", "body", stdin=records(2))
    assert lines(bodies.stdout) == [{"id": 0}, {"id": 1, "is_b": True}]


def test_explain_and_verbose_say_what_is_a_fallback(config: str) -> None:
    explained = run("explain", "-c", config, stdin=records(1)).stdout
    assert b"# record 0, a\n" in explained
    assert b"# record 0, b, fallback of a\n" in explained
    told = run("-c", config, "-vv", stdin=records(2)).stderr.decode()
    assert ", then b (its fallback)" in told
    assert "2 attempts, via b" in told


def test_check_prints_what_leads_to_the_same_plan(config: str, tmp_path: Path) -> None:
    """The default of `fallback_on` is printed, too, and a key alone is not `idempotent`."""
    path = Path(config)
    text = path.read_text().replace("fallback_on = [404]\n", "")
    path.write_text(text.replace("[api.b]", "idempotency_key = true\n[api.b]"))
    shown = run("check", "-c", config).stdout.decode()
    assert 'fallback_of = "a"\nfallback_on = ["unreachable", "timeout", 429, "5xx"]\n' in shown
    a = shown[shown.index("[api.a]") : shown.index("[api.b]")]
    assert "idempotent = false\nidempotency_key = true\n" in a
    assert "fallback" not in a
    again = tmp_path / "again.toml"
    again.write_text(shown)
    shown_again = run("check", "-c", str(again)).stdout.decode()
    assert tomllib.loads(shown_again) == tomllib.loads(shown)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('fallback_of = "x"', "api.b.fallback_of: unknown API 'x': use one of a"),
        ('fallback_of = "b"', "api.b.fallback_of: an API cannot be its own fallback"),
        ("fallback_of = 3", "api.b.fallback_of: invalid value 3: use text in quotes"),
        ("fallback_of = ['a']", "api.b.fallback_of: invalid value (a value of type list)"),
        ('fallback_on = ["5xx"]', "api.b.fallback_on: only for a fallback"),
        ('fallback_of = "a"\nfallback_on = []', "api.b.fallback_on: no failure at all: use a list"),
        (
            'fallback_of = "a"\nfallback_on = "5xx"',
            "api.b.fallback_on: invalid list '5xx': use one",
        ),
        ('fallback_of = "a"\nfallback_on = [true]', "api.b.fallback_on: invalid item true"),
        ('fallback_of = "a"\nfallback_on = ["tiemout"]', "api.b.fallback_on: invalid failure"),
        ('fallback_of = "a"\nfallback_on = [99]', "api.b.fallback_on: invalid failure 99"),
    ],
)
def test_mistakes_are_named(keys: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    url = 'url = "http://127.0.0.1:1/"\n'
    path.write_text(f"[api.a]\n{url}[api.b]\n{url}{keys}\n")
    done = run("-c", str(path), stdin=records(1))
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_quorum_counts_outcomes(config: str) -> None:
    done = run("-c", config, "--join", "quorum:2", stdin=records(1))
    assert done.returncode == 2
    assert b"quorum:2 of one API" in done.stderr
