"""Mistakes in the configuration file and in flags: one line that says where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.configured import configured

from tmux_fanout.cli.configuration import file_value
from tmux_fanout.cli.help import Option
from tmux_fanout.cli.types import COUNT, DURATION
from tmux_fanout.core.errors import ConfigError

URL = "http://127.0.0.1:1/"
LONG = "1" * 5000
ONE = f'[api.one]\nurl = "{URL}"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "tmux-fanout.toml") -> str:
    Path(name).write_text(text)
    return name


F = "tmux-fanout.toml: "


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ("[run]\nfiles = []", [], F + "run: unknown key 'files': "),
        ("[run]\nconfig = 'x'", [], F + "run: unknown key 'config': "),
        ("[run]\nmethod = 'x'", [], F + "run: unknown key 'method' here: a key of an API goes "),
        ("[run]\nemit = 'all'", [], F + "run.emit: invalid value 'all': use envelope, merge, "),
        ("[run]\nemit = ['s3cret']", [], F + "run.emit: invalid value (a value of type list): "),
        ("[run]\nquiet = 1", [], F + "run.quiet: invalid value 1: use true or false"),
        ("[run]\nprogress = 'no'", [], F + "run.progress: invalid value 'no': use true or"),
        ("[run]\ninput_format = true", [], F + "run.input_format: invalid value true: use jsonl, "),
        ("[run]\nunordered = 1", [], F + "run.unordered: invalid value 1: use true or false"),
        ("[run]\ntimeout = 'soon'", [], F + "run.timeout: invalid duration 'soon': use 250ms"),
        (
            "[run]\ntimeout = 'soon'",
            ["--timeout", "3"],
            F + "run.timeout: invalid duration 'soon': ",
        ),
        ("[run]\nlimit = '5'", [], F + "run.limit: invalid limit '5': use a whole number of"),
        ("[run]\nlimit = 07:30:00", [], F + "run.limit: invalid limit (a value of type time)"),
        (ONE + "timeout = 'soon'", [], F + "api.one.timeout: invalid duration 'soon': use "),
        (ONE + "timeout = 'soon'", ["--timeout", "3"], F + "api.one.timeout: invalid duration "),
        (ONE + "transport = 'pigeon'", [], F + "api.one.transport: invalid value 'pigeon': use"),
        (ONE + "[defaults]\ntimeout = 'soon'", [], F + "defaults.timeout: invalid duration"),
        (ONE + "[defaults]\nselect = '['", [], F + "defaults.select: invalid JMESPath expression"),
        (ONE + "select = 'a['", [], F + "api.one.select: invalid JMESPath expression: it is inc"),
        ("[defaults]\ntimeout = 'soon'", ["-a", f"x={URL}"], F + "defaults.timeout: invalid "),
        (ONE + f"limit = {LONG}", [], F + "not TOML, a number has too many digits: "),
        (ONE + f"rate = '{LONG}/s'", [], F + "api.one.rate: invalid rate '1111"),
        (
            ONE + f"breaker = {{ open = {LONG[:4000]} }}",
            [],
            F + "api.one.breaker.open: invalid duration 1111",
        ),
        ("[api.x]", [], F + "api.x.url: missing URL: use one such as https://"),
        ("[api.x]\nurl = 'ftp://s3cret@h'", [], F + "api.x.url: "),
        ("[api.x]\nurl = '${NO}'", [], F + "api.x.url: ${NO} is not set"),
        ("[api.'a b']\nurl = 'h'", [], F + 'api."a b".url: '),
        (ONE + "headers = ['s3cret']", [], F + "api.one.headers: not a table: use one such"),
        (ONE + 'headers = {K = "s3cret\\n"}', [], F + "api.one.headers.K: the value has cha"),
        (ONE + "headers = {K = '${NO}'}", [], F + "api.one.headers.K: ${NO} is not set"),
        (ONE + "when = '['", [], F + "api.one.when: "),
        (ONE + "ok_status = ['7xx']", [], F + "api.one.ok_status: invalid status '7xx': "),
        (ONE + "auth = {barer = 's3cret'}", [], F + "api.one.auth: unknown key 'barer': did you"),
        (ONE + "auth = {bearer = '${NO}'}", [], F + "api.one.auth.bearer: ${NO} is not set"),
        (
            ONE + "auth = {oauth2 = {client_secre = 's3cret'}}",
            [],
            F + "api.one.auth.oauth2: unknown key 'client_secre': did you mean client_secret?",
        ),
        (ONE + 'auth = {bearer = "s3cret\\n"}', [], F + "api.one.auth: the value has characters"),
        (ONE + "ok_when = '!body.errors'", [], F + "api.one.ok_when: misplaced !: put the path"),
        (ONE + "retry_on = '5xx'", [], F + "api.one.retry_on: invalid list '5xx': use one such"),
        (ONE + "retry_on = [200]", [], F + "api.one.retry_on: no effect, as all of these stat"),
        (ONE + "retry_when = {}", [], F + "api.one.retry_when: invalid value (a value of type"),
        (ONE + "ok_status = []", [], F + "api.one.ok_status: no status at all: use some"),
        (ONE + "tls = {key = 'k'}", [], F + "api.one.tls: a key without its certificate: a"),
        (
            "[api.x]\nurl = 'https://h/'\ntls = {ca = 'none.pem'}",
            [],
            F + "api.x.tls.ca: 'none.pem' ",
        ),
        (ONE + "batch = {sise = 3}", [], F + "api.one.batch: unknown key 'sise': did you mean s"),
        (ONE + "batch = {size = 0}", [], F + "api.one.batch.size: invalid number 0: use a whole"),
        (ONE + "after = ['two']", [], F + "api.one.after: unknown API 'two': "),
        (ONE, ["-a", "one=ftp://h"], "API 'one': url: "),
        (ONE, ["-a", "x=ftp://h"], "API 'x': url: "),
        (ONE, ["-a", f"x={URL}", "--when", "["], "API 'x': when: "),
        (ONE, ["-a", f"x={URL}", "-a", f"x={URL}"], "two APIs are called 'x'"),
        (ONE, ["-a", f"one={URL}", "-a", f"one={URL}"], "two APIs are called 'one'"),
        (ONE + "http2 = true", ["--transport", "asks"], "API 'one': --transport: "),
        (ONE + "http2 = true\n[run]\ntransport = 'asks'", [], F + "run.transport: "),
        (ONE + "http2 = true\ntransport = 'asks'", [], F + "api.one.transport: "),
        (ONE, ["--timeout", "0"], "--timeout: invalid duration 0.0: use more than zero"),
        (ONE, ["-X", "GET"], "--method: no -a API that it could apply to: add -a NAME=URL"),
        (ONE, ["-H", "K: s3cret"], "--header: no -a API that it could apply to: add -a NAME="),
        ("[run]\nlimit = 3", [], "no API to call: name one, as in echo "),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_mistake_names_the_file_and_the_key_or_the_flag(
    text: str, args: list[str], message: str
) -> None:
    """The message is one line, says where the mistake is, and shows no secret."""
    write(text)
    with pytest.raises(ConfigError) as info:
        configured(*args)
    shown = str(info.value)
    assert shown.startswith(message)
    assert "\n" not in shown
    assert not (shown.startswith(F) and "in a shell" in shown)
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("settings", "value", "expected"),
    [
        ({}, "results.jsonl", "results.jsonl"),
        ({"type": COUNT}, 5, 5),
        ({"type": COUNT}, "5", 5),
        ({"type": DURATION}, "2m", 120.0),
        ({"type": DURATION}, 0.5, 0.5),
        ({"is_flag": True}, True, True),
    ],
    ids=str,
)
def test_file_value_is_parsed_as_the_option_is(
    settings: dict[str, Any], value: object, expected: object
) -> None:
    """An option of any kind accepts in the file what it accepts on the command line."""
    got = file_value(Option(["--thing"], heading="Things", **settings), value)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        ({"type": COUNT}, 0, "invalid number '0': use a whole number of at least 1"),
        ({"type": COUNT}, True, "invalid value true: use text in quotes, or a number"),
        ({"type": DURATION}, "soon", "invalid duration 'soon': use 250ms, 10s, 2m, 1h, 7d or p"),
        ({}, ["s3cret"], "invalid value (a value of type list): use text in quotes, or"),
    ],
    ids=str,
)
def test_file_value_rejects_what_the_option_would(
    settings: dict[str, Any], value: object, message: str
) -> None:
    """The message is that of the option; lists and tables are not shown."""
    with pytest.raises(ConfigError) as info:
        file_value(Option(["--thing"], heading="Things", **settings), value)
    assert str(info.value).startswith(message)
