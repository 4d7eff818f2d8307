"""Settings: what is taken, what is refused, and that a refusal shows no secret."""

from pathlib import Path
from typing import Any

import pytest

from tmux_fanout.core.config.settings import Api, RunSettings, check_header
from tmux_fanout.core.errors import ConfigError

URL = "https://api.example.com/v1"


@pytest.mark.parametrize("kind", [Api, RunSettings])
@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("connect_timeout", "250ms", 0.25),
        ("attempt_timeout", 3, 3.0),
        ("timeout", "2m", 120.0),
        ("max_response", "1MiB", 1 << 20),
        ("limit", 1, 1),
        ("retries", 0, 0),
        ("idempotent", False, False),
        ("transport", "httpx", "httpx"),
    ],
)
def test_settings_become_seconds_and_bytes(
    kind: type, field: str, value: object, expected: object
) -> None:
    """An API and a run take the same words for what they share."""
    needed = {"name": "a", "url": URL} if kind is Api else {}
    got = getattr(kind(**needed, **{field: value}), field)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("field", "value", "expected"),
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
def test_run_settings_become_seconds_and_bytes(field: str, value: Any, expected: object) -> None:
    """What only a run has is read in the same way."""
    assert getattr(RunSettings(**{field: value}), field) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit: 0 is not a whole number of at least 1"),
        ({"limit": 1.5}, "limit: 1.5 is not a whole number of at least 1"),
        ({"limit": True}, "limit: True is not a whole number of at least 1"),
        ({"limit": "8"}, "limit: '8' is not a whole number of at least 1"),
        ({"retries": -1}, "retries: -1 is not a whole number of at least 0"),
        ({"window": 0}, "window: 0 is not a whole number of at least 1"),
        ({"chunk_size": 0}, "chunk_size: 0 is not a whole number of at least 1"),
        ({"total_limit": 0}, "total_limit: 0 is not a whole number of at least 1"),
        ({"timeout": 0}, "timeout: 0 leaves no time at all; write 250ms, 10s, 2m or 1h"),
        ({"deadline": "0ms"}, "deadline: 0 leaves no time at all; write 250ms, 10s, 2m or 1h"),
        (
            {"timeout": "soon"},
            "timeout: 'soon' is not a duration; write 250ms, 10s, 2m, 1h or plain seconds",
        ),
        (
            {"max_line": "16 megs"},
            "max_line: '16 megs' is not a size; write 64KiB, 16MiB or plain bytes",
        ),
        ({"idempotent": "yes"}, "idempotent: 'yes' is neither true nor false"),
        ({"unordered": 1}, "unordered: 1 is neither true nor false"),
        ({"transport": "curl"}, "transport: 'curl' is none; write auto, native, httpx or asks"),
        ({"transport": []}, "transport: a value of type list is none; write auto,"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_run_settings_refuse_with_the_key_and_the_fix(
    options: dict[str, Any], message: str
) -> None:
    """The message begins with the key, shows the value and says what to write."""
    with pytest.raises(ConfigError) as info:
        RunSettings(**options)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "API name '…': write a printable one such as lookup"),
        ({"name": "a\nb"}, "API name 'a…': write a printable one such as lookup"),
        ({"name": "\ud800"}, "API name '…': write a printable one such as lookup"),
        ({"name": 5}, "API name 5: write a printable one such as lookup"),
        ({"name": URL}, "API name: it is a URL; write a name such as lookup"),
        ({"url": None}, f"API 'a': url: None is not a URL; write '{URL}'"),
        ({"url": Path("x")}, "API 'a': url: a value of type PosixPath is not a URL"),
        ({"method": "GET "}, "API 'a': method: 'GET…' is no method; write GET or POST"),
        ({"method": ""}, "API 'a': method: '…' is no method; write GET or POST"),
        ({"method": "PÖST"}, "API 'a': method: 'P…' is no method; write GET or POST"),
        ({"headers": ["A: b"]}, "API 'a': headers: write a mapping such as {'Accept'"),
        ({"limit": 0}, "API 'a': limit: 0 is not a whole number of at least 1"),
        ({"capture_headers": [5]}, "API 'a': capture_headers: 5 does not belong there; write ["),
        ({"endpoints": [{}]}, "API 'a': endpoints: a value of type dict does not belong there"),
        ({"after": [True]}, "API 'a': after: True does not belong there; write ["),
        ({"ok_status": [True]}, "API 'a': ok_status: True does not belong there; write ["),
        ({"body_format": "https://s3cret"}, "API 'a': body_format: a URL is none; write json"),
        ({"timeout": "0"}, "API 'a': timeout: 0 leaves no time at all"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_api_refuses_with_its_name_and_the_fix(changes: dict[str, Any], message: str) -> None:
    """The message names the API and the key and says what to write."""
    with pytest.raises(ConfigError) as info:
        Api(**{"name": "a", "url": URL} | changes)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize("name", ["lookup", "a b", "Überblick", "🦊", "a.b[0]", '"quoted"'])
def test_api_takes_any_printable_name(name: str) -> None:
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
def test_check_header_takes_what_http_takes(name: str, value: str) -> None:
    """All of RFC 9110's tokens and field values pass."""
    check_header(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("", "x", "headers: '…' is no header name"),
        ("X Key", "x", "headers: 'X…' is no header name"),
        ("X\r\nEvil", "x", "headers: 'X…' is no header name"),
        ("Authorization: Bearer s3cret", "", "headers: 'Authorization…' is no header name"),
        (":authority", "x", "headers: '…' is no header name"),
        ("Schlüssel", "x", "headers: 'Schl…' is no header name"),
        (b"X", "x", "headers: a value of type bytes is no header name"),
        ("Content-Length", "5", "headers: Content-Length is set by the program; leave it out"),
        ("TRANSFER-ENCODING", "x", "headers: TRANSFER-ENCODING is set by the program"),
        ("connection", "close", "headers: connection is set by the program"),
        ("Upgrade", "h2c", "headers: Upgrade is set by the program"),
        ("TE", "trailers", "headers: TE is set by the program"),
        *(
            ("X", f"a{c}b", "headers: the value of X has characters that no header can hold")
            for c in "\r\n\0\x0b\x1f\x7f\u20ac\u0100\ud800"
        ),
        ("X", 5, "headers: the value of X is no text; write it in quotes"),
        ("X", b"s3cret", "headers: the value of X is no text; write it in quotes"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_check_header_refuses_what_would_break_framing(name: Any, value: Any, message: str) -> None:
    """No name or value can end a header line, or set what frames the message."""
    with pytest.raises(ConfigError) as info:
        check_header(name, value)
    assert str(info.value).startswith(message)
    assert "s3cret" not in str(info.value)


@pytest.mark.parametrize("settings", [Api("a", URL), RunSettings()], ids=["api", "run"])
def test_settings_are_frozen(settings: Api | RunSettings) -> None:
    """What was validated once stays as it was."""
    with pytest.raises(AttributeError):
        settings.limit = 0  # type: ignore[misc]  # that is the point


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
def test_api_refusals_show_no_secret(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """However the arguments are mixed up, no header value, userinfo or query is shown."""
    with pytest.raises(ConfigError) as info:
        Api(*args, **options)
    assert "s3cret" not in str(info.value)
