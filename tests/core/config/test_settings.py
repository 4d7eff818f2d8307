"""Settings: which values are accepted and rejected, and that no rejection shows a secret."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tmux_fanout.core.config.rules import check_header, rules_of
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.inheritance import OPTIONAL
from tmux_fanout.core.policy.rate import RateSettings

URL = "https://api.example.com/v1"


def test_paths_may_be_those_of_pathlib() -> None:
    """They are kept as text, so that they are shown and compared as such."""
    api = Api(
        "a",
        URL,
        files_root=Path("docs"),
        socket=Path("/run/a.sock"),
        cache={"dir": Path("c"), "ttl": "1h"},
        tls={"ca": Path("ca.pem"), "cert": Path("cert.pem"), "key": Path("key.pem")},
    )
    assert (api.files_root, api.socket) == ("docs", "/run/a.sock")
    assert api.cache == {"dir": "c", "ttl": "1h"}
    assert api.tls == {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


@pytest.mark.parametrize("kind", [Api, RunSettings])
@pytest.mark.parametrize(
    ("field", "value", "parsed", "shown"),
    [
        ("connect_timeout", "250ms", 0.25, "250ms"),
        ("attempt_timeout", 3, 3.0, "3s"),
        ("timeout", "2m", 120.0, "2m"),
        ("timeout", 1.23456789, 1.23456789, 1.23456789),
        ("max_response", "1024KiB", 1 << 20, "1MiB"),
        ("max_response", 1000, 1000, 1000),
        ("limit", 1, 1, 1),
        ("retries", 0, 0, 0),
        ("rate", "60/m", RateSettings(1.0), "1/s"),
        ("rate", {"tokens": "90/m"}, RateSettings(tokens=1.5), {"tokens": "90/m"}),
        ("rate", {"requests": "1/s", "burst": 0.1}, RateSettings(1.0), "1/s"),
        ("idempotent", False, False, False),
        ("transport", "httpx", "httpx", "httpx"),
    ],
)
def test_settings_keep_what_is_written(
    kind: type[msgspec.Struct], field: str, value: object, parsed: object, shown: object
) -> None:
    """An API and a run share rules, which tell what a value means and how `check` prints it."""
    needed = {"name": "a", "url": URL} if kind is Api else {}
    settings = kind(**needed, **{field: value})
    rule = rules_of(kind)[field]
    assert getattr(settings, field) == value
    assert (rule.parse(value), type(rule.parse(value))) == (parsed, type(parsed))
    assert rule.show(value) == rule.show(parsed) == shown


@pytest.mark.parametrize(
    ("field", "value", "parsed"),
    [
        ("chunk_linger", "5ms", 0.005),
        ("chunk_linger", 0, 0.0),
        ("drain_timeout", "0s", 0.0),
        ("deadline", "1h", 3600.0),
        ("window_bytes", "64KiB", 65_536),
        ("max_line", 10, 10),
        ("total_limit", 5, 5),
        ("window", 1, 1),
        ("chunk_size", 1, 1),
        ("unordered", True, True),
    ],
)
def test_run_settings_are_parsed_by_their_rules(field: str, value: Any, parsed: object) -> None:
    """The settings that only a run has accept the same spellings."""
    settings = RunSettings(**{field: value})
    assert rules_of(RunSettings)[field].parse(getattr(settings, field)) == parsed


@pytest.mark.parametrize("kind", [Api, RunSettings])
def test_every_setting_has_a_rule(kind: type[msgspec.Struct]) -> None:
    """No field goes unchecked but the name, which has a check of its own, and the client."""
    assert set(kind.__struct_fields__) - rules_of(kind).keys() <= {"name", "client"}


def test_shared_settings_have_the_same_rules() -> None:
    """What a run sets for its APIs is declared alike in both."""
    api, run = rules_of(Api), rules_of(RunSettings)
    for field in api.keys() & run.keys():
        assert api[field].show is run[field].show
        assert Api.__annotations__[field] == RunSettings.__annotations__[field]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit: invalid limit 0: use a whole number of at least 1, "),
        ({"limit": 1.5}, "limit: invalid limit 1.5: use a whole number of at least 1, "),
        ({"limit": True}, "limit: invalid limit true: use a whole number of at least 1, "),
        ({"limit": "8"}, "limit: invalid limit '8': use a whole number of at least 1, "),
        ({"retries": -1}, "retries: invalid number -1: use a whole number of at least 0"),
        ({"window": 0}, "window: invalid number 0: use a whole number of at least 1"),
        ({"chunk_size": 0}, "chunk_size: invalid number 0: use a whole number of at least 1"),
        ({"total_limit": 0}, "total_limit: invalid number 0: use a whole number of at least 1"),
        ({"timeout": 0}, "timeout: invalid duration 0: use more than zero, such as 250ms, 10s"),
        ({"deadline": "0ms"}, "deadline: invalid duration '0ms': use more than zero, such as"),
        (
            {"timeout": "soon"},
            "timeout: invalid duration 'soon': use 250ms, 10s, 2m, 1h, 7d or plain seconds",
        ),
        (
            {"max_line": "16 megs"},
            "max_line: invalid size '16 megs': use 64KiB, 16MiB or plain bytes",
        ),
        ({"idempotent": "yes"}, "idempotent: invalid value 'yes': use true or false"),
        ({"unordered": 1}, "unordered: invalid value 1: use true or false"),
        ({"unordered": None}, "unordered: invalid value null: use true or false"),
        ({"transport": "curl"}, "transport: invalid value 'curl': use auto, native, httpx or asks"),
        ({"transport": []}, 'transport: invalid value (a value of type list): use "auto", "nat'),
        ({"join": "frist"}, "join: "),
        ({"rate": "fast"}, "rate: "),
        ({"max_failures": "many"}, "max_failures: "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_run_settings_reject_with_the_key_and_the_fix(
    options: dict[str, Any], message: str
) -> None:
    """The message begins with the key, shows the value and says what to use instead."""
    with pytest.raises(ConfigError) as info:
        RunSettings(**options)
    assert str(info.value.within()).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "invalid API name '…': use printable text such as lookup"),
        ({"name": "a\nb"}, "invalid API name 'a…': use printable text such as lookup"),
        ({"name": "\ud800"}, "invalid API name '…': use printable text such as lookup"),
        ({"name": 5}, "invalid API name 5: use printable text such as lookup"),
        ({"name": URL}, "invalid API name (a URL): use a name such as lookup"),
        ({"name": "_errors"}, "reserved API name '_errors', a key of the output: use another"),
        ({"url": None}, f"API 'a': url: invalid URL None: use text such as '{URL}'"),
        ({"url": Path("x")}, "API 'a': url: invalid URL (a value of type PosixPath): use text"),
        ({"url": ""}, f"API 'a': url: missing URL: use one such as {URL}"),
        ({"method": "GET "}, "API 'a': method: invalid method 'GET…': use one such as GET or"),
        ({"method": ""}, "API 'a': method: invalid method '…': use one such as GET or POST"),
        ({"method": "PÖST"}, "API 'a': method: invalid method 'P…': use one such as GET or POST"),
        ({"headers": ["A: b"]}, "API 'a': headers: not a table: use one such as {"),
        ({"headers": {"TE": "x"}}, "API 'a': headers.TE: tmux-fanout sets this header itself"),
        ({"limit": 0}, "API 'a': limit: invalid limit 0: use a whole number of at least 1, "),
        ({"capture_headers": [5]}, "API 'a': capture_headers: invalid item 5: use a list such"),
        ({"endpoints": [{}]}, "API 'a': endpoints: endpoint 1: missing key 'url': add it"),
        (
            {"endpoints": [URL, 5]},
            "API 'a': endpoints: endpoint 2: invalid item 5: use a list such",
        ),
        ({"endpoints": "x"}, "API 'a': endpoints: invalid list 'x': use one such as ["),
        ({"after": [True]}, "API 'a': after: invalid item True: use a list such as ["),
        ({"ok_status": [True]}, "API 'a': ok_status: invalid item True: use a list such as ["),
        ({"body": 5}, "API 'a': body: invalid value 5: use text in quotes"),
        ({"body_format": "https://s3cret"}, "API 'a': body_format: invalid value (a URL): use"),
        ({"timeout": "0"}, "API 'a': timeout: invalid duration '0': use more than zero"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_api_rejects_with_its_name_and_the_fix(changes: dict[str, Any], message: str) -> None:
    """The message names the API and the key and says what to use instead."""
    with pytest.raises(ConfigError) as info:
        Api(**{"name": "a", "url": URL} | changes)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize("name", ["lookup", "a b", "Überblick", "🦊", "a.b[0]", '"quoted"'])
def test_api_accepts_any_printable_name(name: str) -> None:
    """Names are for people: blanks, other scripts and quotes are fine."""
    assert Api(name, URL).name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Api-Key", "s3cret"),
        ("x_!#$%&'*+.^`|~9", "tab\tinside"),
        ("Empty", ""),
        ("Latin", "caf\xe9"),
        ("Template", "Bearer ${TOKEN}"),
        ("Host", "other.example"),
    ],
)
def test_check_header_accepts_what_http_accepts(name: str, value: str) -> None:
    """All of RFC 9110's tokens and field values pass."""
    check_header(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("", "x", "invalid header name '…': use one such as X-Api-Key"),
        ("X Key", "x", "invalid header name 'X…': use one such as X-Api-Key"),
        ("X\r\nEvil", "x", "invalid header name 'X…': use one such as X-Api-Key"),
        (
            "Authorization: Bearer s3cret",
            "",
            "invalid header name 'Authorization…': use one such as X-Api-Key",
        ),
        (":authority", "x", "invalid header name '…': use one such as X-Api-Key"),
        ("Schlüssel", "x", "invalid header name 'Schl…': use one such as X-Api-Key"),
        (b"X", "x", "invalid header name (a value of type bytes): use one such"),
        (
            "Content-Length",
            "5",
            "Content-Length: tmux-fanout sets this header itself: leave it out",
        ),
        (
            "TRANSFER-ENCODING",
            "x",
            "TRANSFER-ENCODING: tmux-fanout sets this header itself: leave it out",
        ),
        ("connection", "close", "connection: tmux-fanout sets this header itself: leave it out"),
        ("Upgrade", "h2c", "Upgrade: tmux-fanout sets this header itself: leave it out"),
        ("TE", "trailers", "TE: tmux-fanout sets this header itself: leave it out"),
        *(
            ("X", f"a{c}b", "X: the value has characters that no header can hold: ")
            for c in "\r\n\0\x0b\x1f\x7f\u20ac\u0100\ud800"
        ),
        ("X", 5, "X: the value is not text: put it in quotes"),
        ("X", b"s3cret", "X: the value is not text: put it in quotes"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_check_header_rejects_what_would_break_framing(name: Any, value: Any, message: str) -> None:
    """No name or value can end a header line, or change the framing of the message."""
    with pytest.raises(ConfigError) as info:
        check_header(name, value)
    assert str(info.value).startswith(message)
    assert "s3cret" not in str(info.value)


@pytest.mark.parametrize("settings", [Api("a", URL), RunSettings()], ids=["api", "run"])
def test_settings_are_frozen(settings: Api | RunSettings) -> None:
    """Validated settings cannot change."""
    with pytest.raises(AttributeError):
        settings.limit = 0  # type: ignore[misc]  # to show that it fails


SECRET_URL = "https://user:s3cret@host/?key=s3cret"


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((SECRET_URL, "a"), {}),
        (("a", "POST", SECRET_URL), {}),
        (("a", SECRET_URL.encode()), {}),
        (("a", [SECRET_URL]), {}),
        (("a", URL, {"Authorization": "s3cret"}), {}),
        (("a", URL, "GET", "Authorization: s3cret"), {}),
        (("a", URL, "GET", ["Authorization: s3cret"]), {}),
        (("a", URL, "GET", {}, {"Authorization": "s3cret"}), {}),
        (("a", URL), {"headers": {"Authorization: Bearer s3cret": ""}}),
        (("a", URL), {"headers": {"Authorization": "s3cret\n"}}),
        (("a", URL), {"headers": {"Authorization": b"s3cret"}}),
        (("a", URL), {"headers": {"Authorization": ["s3cret"]}}),
        (("a", URL), {"headers": {("Authorization", "s3cret"): ""}}),
        (("a", URL), {"headers": {b"Authorization: s3cret": ""}}),
        (("a", URL), {"timeout": {"Authorization": "s3cret"}}),
        (("a", URL), {"max_response": {"Authorization": "s3cret"}}),
        (("a", URL), {"idempotent": {"Authorization": "s3cret"}}),
        (("a", URL), {"transport": {"Authorization": "s3cret"}}),
        (("", SECRET_URL), {"headers": {"Authorization": "s3cret"}}),
        ((SECRET_URL + "\n", "a"), {}),
        (([SECRET_URL], "a"), {}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_api_errors_show_no_secret(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """However the arguments are mixed up, no header value, userinfo or query is shown."""
    assert "s3cret" in f"{args}{options}"
    with pytest.raises(ConfigError) as info:
        Api(*args, **options)
    assert "s3cret" not in str(info.value)


@pytest.mark.parametrize("key", OPTIONAL)
def test_false_leaves_out_what_a_preset_has(key: str) -> None:
    """An API is then as it would be without, and so is a copy of it."""
    values: dict[str, Any] = {
        "auth": {"bearer": "${NOT_SET}"},
        "batch": {"size": 2},
        "cache": {"dir": "d", "ttl": "1h"},
        "compress": "gzip",
        "connect_to": "other.test:80",
        "cost": "chars/4",
        "host_rate": "5/s",
        "hosts": ["*.h.test"],
        "ok_when": "a",
        "price": {"call": "1"},
        "proxy": "http://p.test",
        "rate_group": "g",
        "retry_when": "a",
        "select": "a",
        "socket": "/run/x.sock",
        "spent": "a",
        "stream": "sse",
        "tls": {"verify": False},
        "when": "a",
        "hedge": "p95",
        "pages": {"next": "link"},
        "poll": {"url": "/{id}", "until": "done"},
    }
    preset = {"url": "http://h.test/", "headers": {"X-A": "1"}, key: values[key]}
    assert getattr(Api("a", preset=preset), key) == values[key]
    api = Api("a", preset=preset, **{key: False})  # type: ignore[arg-type]
    assert api == Api("a", url="http://h.test/", headers={"X-A": "1"})
    assert msgspec.structs.replace(api, limit=3) == Api(
        "a", url="http://h.test/", headers={"X-A": "1"}, limit=3
    )


def test_false_leaves_out_a_header() -> None:
    """Its name may be in another case; the others stay."""
    preset = {"url": "http://h.test/", "headers": {"X-A": "1", "X-B": "2"}}
    assert Api("a", preset=preset, headers={"x-a": False}).headers == {"X-B": "2"}
    with pytest.raises(ConfigError, match="X-A: the value is not text: put it in quotes, or use"):
        Api("a", preset=preset, headers={"X-A": True})  # type: ignore[dict-item]


def test_a_preset_may_have_no_credentials_of_the_one_it_is_made_of() -> None:
    """What is left out there is left out of the APIs that use it, unless they have their own."""
    base = {"url": "http://h.test/", "auth": {"bearer": "a"}, "headers": {"X-Key": "k"}}
    preset = {"preset": base, "auth": False, "headers": {"X-Key": False}}
    api = Api("a", preset=preset)
    assert (api.auth, api.headers) == (None, {})
    assert Api("a", preset=preset, auth={"bearer": "b"}).auth == {"bearer": "b"}
