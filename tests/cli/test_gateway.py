"""Jobs described by a configuration file: one shape for many providers, batches, chains."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.command import lines, run
from support.loopback import Loopback, loopback

POISON = 137

GATEWAY = """
[defaults]
limit = 8
retries = 0

[api.alpha]
url = "{one}/alpha"
when = "tier == 'gold'"
body = "{{messages: [{{role: 'user', content: text}}]}}"
select = "{{text: choices[0].message.content}}"

[api.beta]
endpoints = ["{one}/v1", "{two}/v2/"]
balance = "round-robin"
url = "beta/{{id}}"
method = "PUT"
when = "tier == 'silver'"
body = "{{q: text}}"
body_format = "form"
select = "{{text: output}}"

[api.gamma]
url = "{two}/gamma{{?text}}"
method = "GET"
when = "tier != 'gold' && tier != 'silver'"
select = "{{text: data.result}}"
"""


def alpha(body: bytes) -> tuple[int, bytes]:
    content = json.loads(body)["messages"][0]["content"]
    return 200, json.dumps({"choices": [{"message": {"content": content.upper()}}]}).encode()


def beta(body: bytes) -> tuple[int, bytes]:
    return 200, json.dumps({"output": body.decode().removeprefix("q=").upper()}).encode()


def gamma(body: bytes) -> tuple[int, bytes]:
    assert not body
    return 200, b'{"data":{"result":"GAMMA"}}'


def configure(folder: Path, text: str) -> str:
    path = folder / "gateway.toml"
    path.write_text(text)
    return str(path)


def test_one_shape_for_many_providers(server: Loopback, tmp_path: Path) -> None:
    """Whichever provider serves a record, and whatever its formats, the body has one shape."""
    with loopback() as other:
        server.replies = {"/alpha": alpha, **{f"/v1/beta/{i}": beta for i in range(9)}}
        other.replies = {"/gamma": gamma, **{f"/v2/beta/{i}": beta for i in range(9)}}
        text = GATEWAY.format(one=server.url(""), two=other.url(""))
        tiers = ["gold", "silver", "none"] * 3
        records: list[dict[str, Any]] = [
            {"id": i, "tier": tier, "text": f"t{i}"} for i, tier in enumerate(tiers)
        ]
        stdin = "".join(json.dumps(record) + "\n" for record in records).encode()
        done = run("-c", configure(tmp_path, text), "-l", "1", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    for record, line in zip(records, lines(done.stdout)):
        results = line["results"]
        called = [name for name, outcome in results.items() if not outcome.get("skipped")]
        assert called == [{"gold": "alpha", "silver": "beta", "none": "gamma"}[record["tier"]]]
        shown = "GAMMA" if called == ["gamma"] else record["text"].upper()
        assert results[called[0]]["body"] == {"text": shown}
    spread = Counter(path.split("/")[1] for path in server.paths + other.paths if "beta" in path)
    assert sorted(spread.values()) == [1, 2]


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_poison_stands_alone(server: Loopback, tmp_path: Path, form: str) -> None:
    """300 records in batches of 50, one poisoned: 299 are ok, in fewer than 25 requests."""

    def score(body: bytes) -> tuple[int, bytes]:
        rows = json.loads(body) if form == "json" else [json.loads(row) for row in body.split()]
        if any(row["id"] == POISON for row in rows):
            return 422, b'{"error":"cannot score this"}'
        return 200, json.dumps({"scores": [{"of": row["id"]} for row in rows]}).encode()

    server.replies = {"/score": score}
    text = f"""
        [api.score]
        url = "{server.url("/score")}"
        body = "{{id: id}}"
        batch = {{ size = 50, format = "{form}", items = "scores" }}
    """
    stdin = b"".join(b'{"id":%d,"n":"x"}\n' % i for i in range(300))
    done = run("-c", configure(tmp_path, text), stdin=stdin)
    assert done.returncode == 1
    out = lines(done.stdout)
    assert [line["index"] for line in out] == list(range(300))
    assert [line["index"] for line in out if not line["ok"]] == [POISON]
    for line in out:
        if line["ok"]:
            assert line["results"]["score"]["body"] == {"of": line["record"]["id"]}
    poison = out[POISON]["results"]["score"]
    assert (poison["status"], poison["error"]["kind"]) == (422, "status")
    assert len(server.paths) < 25


def test_linger_fills_batches_on_a_trickle(server: Loopback, tmp_path: Path) -> None:
    """Given time to wait for more, three chunks of input become one request."""
    text = f"""
        [run]
        chunk_linger = "10s"
        [api.a]
        url = "{server.url()}"
        batch = {{ size = 50 }}
    """
    parts = tmp_path / "parts"
    parts.mkdir()
    files = []
    for number in range(3):
        files.append(str(parts / f"{number}.jsonl"))
        Path(files[-1]).write_text(f'{{"id":{number}}}\n')
    done = run("-c", configure(tmp_path, text), *files)
    assert [line["results"]["a"]["body"]["id"] for line in lines(done.stdout)] == [0, 1, 2]
    assert len(server.paths) == 1


def test_a_chain_goes_on_with_what_came(server: Loopback, tmp_path: Path) -> None:
    """The second call uses the first one's response; a failure ends the chain."""

    def find(body: bytes) -> tuple[int, bytes]:
        user = json.loads(body)["user"]
        return (404, b"{}") if user == "nobody" else (200, b'{"id":"u/%d"}' % len(user))

    server.replies = {"/find": find}
    text = f"""
        [api.find]
        url = "{server.url("/find")}"
        [api.tell]
        after = ["find"]
        url = "{server.url("/tell/{_results.find.body.id}")}"
        body = "{{to: user, status: _results.find.status}}"
    """
    stdin = b'{"user":"ann"}\n{"user":"nobody"}\n'
    first, second = lines(run("-c", configure(tmp_path, text), stdin=stdin).stdout)
    assert first["results"]["tell"]["body"] == {"to": "ann", "status": 200}
    assert [path for path in server.paths if path != "/find"] == ["/tell/u%2F3"]
    assert second["results"]["tell"] == {
        "ok": False,
        "skipped": True,
        "error": {"kind": "template", "message": "not called, since find is not ok"},
        "attempts": 0,
    }


def test_a_circle_is_refused(server: Loopback, tmp_path: Path) -> None:
    """Nothing is sent, and the message shows the cycle."""
    apis: dict[str, Any] = {"a": "b", "b": "a"}
    text = "".join(
        f'[api.{name}]\nurl = "{server.url()}"\nafter = ["{other}"]\n'
        for name, other in apis.items()
    )
    done = run("-c", configure(tmp_path, text), stdin=b"1\n")
    assert done.returncode == 2
    assert done.stderr.endswith(
        b"gateway.toml: api.a.after: APIs wait for each other, "
        b"a after b after a: remove one of these\n"
    )
    assert not server.paths


def test_a_chain_behind_a_route(server: Loopback, tmp_path: Path) -> None:
    """A call after APIs that `when` excluded is made once, and sees which were excluded."""
    text = f"""
        [api.a]
        url = "{server.url("/a")}"
        when = "p == 'a'"
        [api.b]
        url = "{server.url("/b")}"
        when = "p == 'b'"
        [api.last]
        url = "{server.url("/last")}"
        after = ["a", "b"]
        body = "{{by: _results.a.skipped && 'b' || 'a'}}"
    """
    text = text.replace("_results.a.skipped &&", "not_null(_results.a.skipped) &&")
    done = run("-c", configure(tmp_path, text), stdin=b'{"p":"a"}\n{"p":"b"}\n{"p":"c"}\n')
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["results"]["last"]["body"] for line in lines(done.stdout)] == [
        {"by": "a"},
        {"by": "b"},
        {"by": "b"},
    ]
    assert sorted(server.paths) == ["/a", "/b", "/last", "/last", "/last"]
