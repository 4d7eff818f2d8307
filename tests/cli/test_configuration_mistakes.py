"""Mistakes in the configuration file and in flags: one line that names the place."""

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
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "tmux-fanout.toml") -> str:
    Path(name).write_text(text)
    return name


F = "tmux-fanout.toml: "


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ("[run]\nfiles = []", [], F + "run.files: unknown key; "),
        ("[run]\nconfig = 'x'", [], F + "run.config: unknown key; "),
        ("[run]\nmethod = 'x'", [], F + "run.method: unknown key here; it is a key of an API; "),
        ("[run]\nemit = 'all'", [], F + "run.emit: 'all' is none; write envelope, merge or "),
        ("[run]\nemit = ['s3cret']", [], F + "run.emit: a value of type list is none; wri"),
        ("[run]\nquiet = 1", [], F + "run.quiet: 1 is neither true nor false"),
        ("[run]\nprogress = 'no'", [], F + "run.progress: 'no' is neither true nor false"),
        ("[run]\ninput_format = true", [], F + "run.input_format: True is none; write jsonl, "),
        ("[run]\nunordered = 1", [], F + "run.unordered: 1 is neither true nor false"),
        ("[run]\ntimeout = 'soon'", [], F + "run.timeout: 'soon' is not a duration; write 250ms"),
        ("[run]\ntimeout = 'soon'", ["--timeout", "3"], F + "run.timeout: 'soon' is not a dura"),
        ("[run]\nlimit = '5'", [], F + "run.limit: '5' is not a whole number of at least 1"),
        ("[run]\nlimit = 07:30:00", [], F + "run.limit: a value of type time is not a whole"),
        (ONE + "timeout = 'soon'", [], F + "api.one.timeout: 'soon' is not a duration; write "),
        (ONE + "timeout = 'soon'", ["--timeout", "3"], F + "api.one.timeout: 'soon' is not a "),
        (ONE + "transport = 'pigeon'", [], F + "api.one.transport: 'pigeon' is none; write auto"),
        (ONE + "[defaults]\ntimeout = 'soon'", [], F + "defaults.timeout: 'soon' is not a dura"),
        (ONE + "[defaults]\nselect = '['", [], F + "defaults.select: not a JMESPath expression"),
        ("[defaults]\ntimeout = 'soon'", ["-a", f"x={URL}"], F + "defaults.timeout: 'soon' is"),
        (ONE + f"limit = {LONG}", [], F + "not TOML: a number has too many digits; "),
        (ONE + f"rate = '{LONG}/s'", [], F + "api.one.rate: invalid rate '1111"),
        (
            ONE + f"breaker = {{ open = {LONG[:4000]} }}",
            [],
            F + "api.one.breaker.open: write a smaller",
        ),
        ("[api.x]", [], F + "api.x.url: '' is not a URL; write 'https://"),
        ("[api.x]\nurl = 'ftp://s3cret@h'", [], F + "api.x.url: not an http or https URL; write"),
        ("[api.x]\nurl = '${NO}'", [], F + "api.x.url: ${NO} is not set; export NO=..."),
        ("[api.'a b']\nurl = 'h'", [], F + 'api."a b".url: not an http or https URL'),
        (ONE + "headers = ['s3cret']", [], F + "api.one.headers: write a mapping such as"),
        (ONE + 'headers = {K = "s3cret\\n"}', [], F + "api.one.headers: the value of K has"),
        (ONE + "headers = {K = '${NO}'}", [], F + "api.one.headers.K: ${NO} is not set; export"),
        (ONE + "when = '['", [], F + "api.one.when: not a JMESPath expression"),
        (ONE + "ok_status = ['7xx']", [], F + "api.one.ok_status: write statuses such as"),
        (ONE + "auth = {barer = 's3cret'}", [], F + "api.one.auth.barer: unknown key; did you "),
        (ONE + "auth = {bearer = '${NO}'}", [], F + "api.one.auth.bearer: ${NO} is not set; ex"),
        (
            ONE + "auth = {oauth2 = {client_secre = 's3cret'}}",
            [],
            F + "api.one.auth.oauth2.client_secre: unknown key; did you mean client_secret?",
        ),
        (ONE + 'auth = {bearer = "s3cret\\n"}', [], F + "api.one.auth: the value of Authoriz"),
        (ONE + "ok_status = []", [], F + "api.one.ok_status: nothing would be ok; write statuses"),
        (ONE + "tls = {key = 'k'}", [], F + "api.one.tls: a key without its certificate; a"),
        (
            "[api.x]\nurl = 'https://h/'\ntls = {ca = 'none.pem'}",
            [],
            F + "api.x.tls.ca: 'none.pem' ",
        ),
        (ONE + "batch = {sise = 3}", [], F + "api.one.batch.sise: unknown key; did you mean size?"),
        (ONE + "batch = {size = 0}", [], F + "api.one.batch.size: 0 is not a whole number of at"),
        (ONE + "after = ['two']", [], F + "api.one.after: no API is called 'two'; "),
        (ONE, ["-a", "one=ftp://h"], "API 'one': url: not an http or https URL"),
        (ONE, ["-a", "x=ftp://h"], "API 'x': url: not an http or https URL"),
        (ONE, ["-a", f"x={URL}", "--when", "["], "API 'x': when: not a JMESPath expression"),
        (ONE, ["-a", f"x={URL}", "-a", f"x={URL}"], "two APIs are called 'x'"),
        (ONE, ["-a", f"one={URL}", "-a", f"one={URL}"], "two APIs are called 'one'"),
        (ONE + "http2 = true", ["--transport", "asks"], "API 'one': transport: asks "),
        (ONE + "http2 = true\n[run]\ntransport = 'asks'", [], F + "run.transport: asks "),
        (ONE + "http2 = true\ntransport = 'asks'", [], F + "api.one.transport: asks "),
        (ONE, ["--timeout", "0"], "--timeout: 0 leaves no time at all"),
        (ONE, ["-X", "GET"], "--method: it is for the -a APIs, and there is none; add -a NAME="),
        (ONE, ["-H", "K: s3cret"], "--header: it is for the -a APIs, and there is none; add -a"),
        ("[run]\nlimit = 3", [], "no API to call; name one: echo "),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_mistake_names_the_file_and_the_key_or_the_flag(
    text: str, args: list[str], message: str
) -> None:
    """A mistake is told where it was made, in one line, and shows no secret."""
    write(text)
    with pytest.raises(ConfigError) as info:
        configured(*args)
    said = str(info.value)
    assert said.startswith(message)
    assert "\n" not in said
    assert "s3cret" not in said


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
def test_file_value_is_parsed_as_the_options_is(
    settings: dict[str, Any], value: object, expected: object
) -> None:
    """An option of any kind takes from the file what it takes on the command line."""
    got = file_value(Option(["--thing"], heading="Things", **settings), value)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        ({"type": COUNT}, 0, "'0' is not a whole number of at least 1"),
        ({"type": COUNT}, True, "True is neither a text nor a number"),
        ({"type": DURATION}, "soon", "'soon' is not a duration; write 250ms, 10s, 2m, 1h or plain"),
        ({}, ["s3cret"], "a value of type list is neither a text nor a number"),
    ],
    ids=str,
)
def test_file_value_refuses_what_the_option_would(
    settings: dict[str, Any], value: object, message: str
) -> None:
    """The message is that of the option; of lists and tables no value is shown."""
    with pytest.raises(ConfigError) as info:
        file_value(Option(["--thing"], heading="Things", **settings), value)
    assert str(info.value).startswith(message)
