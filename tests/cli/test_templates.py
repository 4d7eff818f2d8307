"""Bodies as templates in a configuration file, with the files that they name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from support.command import run
from support.loopback import Loopback

TEXT = """
[defaults]
body = "ignored"
body_format = "raw"

[api.chat]
url = "{url}"
json = {{ messages = ["@prompts/system.txt", "User: {{text}}", "@@{{text}}"], n = "{{n?}}" }}

[api.plain]
url = "{url}"
text = "@prompts/system.txt"
"""


def configure(server: Loopback, folder: Path) -> str:
    (folder / "prompts").mkdir()
    (folder / "prompts" / "system.txt").write_text('Be "brief", {text}.\n', newline="\r\n")
    path = folder / "tmux-fanout.toml"
    path.write_text(TEXT.format(url=server.url()))
    return str(path)


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=" ".join)
def test_bodies_are_sent_as_written(server: Loopback, tmp_path: Path, options: list[str]) -> None:
    """Files are found beside the configuration, and workers need not read them."""
    path = configure(server, tmp_path)
    done = run("-c", path, *options, stdin=b'{"text": "A\\"B"}\n')
    assert done.returncode == 0, done.stderr
    assert sorted(server.bodies) == [
        b'Be "brief", A"B.',
        b'{"messages":["Be \\"brief\\", A\\"B.","User: A\\"B","@A\\"B"]}',
    ]


def test_check_prints_what_it_can_read(server: Loopback, tmp_path: Path) -> None:
    """Files are shown as their content, and a text with an @ as it must be written."""
    path = configure(server, tmp_path)
    done = run("check", "-c", path)
    assert done.returncode == 0, done.stderr
    apis = tomllib.loads(done.stdout.decode())["api"]
    assert apis["plain"]["text"] == 'Be "brief", {text}.'
    assert apis["chat"]["json"]["messages"][2] == "@@{text}"
    assert "body_format" not in apis["chat"] | apis["plain"]
    again = tmp_path / "again.toml"
    again.write_bytes(done.stdout)
    twice = run("check", "-c", str(again))
    assert tomllib.loads(twice.stdout.decode())["api"] == apis


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("json = { a = ['@no.txt'] }", "api.a.json.a: {}/no.txt: cannot be read: No such file"),
        ("text = '@'", "api.a.text: no file name after the @: write @@ for text that begins"),
        ("text = '@.'", "api.a.text: {}/.: cannot be read: Is a directory; write @@ for text"),
        ("json = { a = 1979-05-27 }", "api.a.json.a: JSON has no date or time 1979-05-27: use"),
        ("text = 'x'\nbody = 'y'", "api.a.text: body beside it: leave one of the two out"),
        ("text = '***'\njson = 1", "api.a.text: json beside it: leave one of the two out"),
        ("json = { api_key = '***' }", "api.a.json.api_key: *** is what check prints in place"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, message: str) -> None:
    """One line names the file, the key and what to write instead."""
    path = tmp_path / "c.toml"
    path.write_text(f"[api.a]\nurl = 'http://h/'\n{line}\n")
    done = run("check", "-c", str(path))
    assert done.returncode == 2
    assert f"{path}: {message.format(tmp_path)}".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_an_option_replaces_a_template(server: Loopback, tmp_path: Path) -> None:
    """`--body` beside -a makes another body for the file's API."""
    path = configure(server, tmp_path)
    done = run(
        "-c", path, "-a", f"chat={server.url()}", "--body", "{t: text}", stdin=b'{"text": "A"}\n'
    )
    assert done.returncode == 0, done.stderr
    sent = [json.loads(body) for body in server.bodies if body.startswith(b"{")]
    assert sent == [{"t": "A"}]


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_secret_in_a_body_is_hidden(tmp_path: Path, command: str) -> None:
    """It is recognised by the name of its member; other members are shown."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[api.a]\nurl = "http://h/"\n'
        'json = { auth = { api_key = "c4n4ry" }, max_tokens = "{id}", keywords = "k" }\n'
    )
    done = run(command, "-c", str(path), stdin=b'{"id": 7}\n')
    assert done.returncode == 0
    assert b"c4n4ry" not in done.stdout + done.stderr
    assert b"***" in done.stdout
    assert b"keywords" in done.stdout
