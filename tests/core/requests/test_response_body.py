"""Bodies of responses: what is JSON, text, bytes or nothing, and what `select` finds in each."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import Body, NotJSON, check_json
from tmux_fanout.core.requests.response_body import embed, json_of, text_of

BOM = b"\xef\xbb\xbf"
XML_LATIN_1 = b'<?xml version="1.0" encoding="ISO-8859-1"?><name>Andr\xe9</name>'
LABELS = [
    *("utf-8", "utf8", "us-ascii", "ascii", "latin1", "iso-8859-1", "ISO_8859-1:1987"),
    *("iso8859-2", "iso-8859-5", "iso-8859-8-i", "iso-8859-9", "iso-8859-11", "iso-8859-12"),
    *("iso-8859-15", "iso-8859-16", "windows-1250", "windows-1252", "cp1251", "windows-874"),
    *("koi8-r", "koi8-u", "macintosh", "x-mac-cyrillic", "ibm866", "gb2312", "gbk", "gb18030"),
    *("big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr", "utf-16", "utf-16le", "utf-16be"),
    *("utf-7", "rot13", "base64", "zlib", "unicode_escape", "idna", "punycode", "undefined"),
    *("mbcs", "binary", "x-user-defined"),
]
TYPES = [
    *(f"{kind}; charset={label}" for kind in ("text/html", "application/json") for label in LABELS),
    *("", "text/plain", "text/html", "application/xml", "image/png", "application/octet-stream"),
    *("application/json", "text/plain; charset=", "; charset=\xff", "application/x-ndjson"),
]


def typed(content_type: str | None) -> tuple[tuple[bytes, bytes], ...]:
    return () if content_type is None else ((b"content-type", content_type.encode("latin-1")),)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"score":0.9}', Body(b'{"score":0.9}')),
        (b'{ "b":1.00,\r\n\t"a":1,"a":2 }\n', Body(b'{ "b":1.00,\t"a":1,"a":2 }')),
        (b'{"a":\r1}', Body(b'{"a":1}')),
        (b'"a\\nb"\n', Body(b'"a\\nb"')),
        (b'"\\ud800"', Body(b'"\\ud800"')),
        (b"9" * 400, Body(b"9" * 400)),
        (b"", Body(b"null")),
        (b"\n", Body(b'"\\n"')),
        (b"overloaded", Body(b'"overloaded"')),
        (b'<a href="x">\r\n', Body(b'"<a href=\\"x\\">\\r\\n"')),
        (b"NaN", Body(b'"NaN"')),
        (b"a\0b", Body(b'"a\\u0000b"')),
        (b"\xff\n", Body(b'"/wo="', "base64")),
        (b"\xff\xfe", Body(b'"//4="', "base64")),
        (b'"\xff"', Body(b'"Iv8i"', "base64")),
        (BOM + b'{"a":\n1}', Body(b'{"a":1}')),
        (BOM + b"text", Body(b'"text"')),
        (BOM + b"\xff", Body(b'"77u//w=="', "base64")),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_embed_keeps_json_quotes_text_and_encodes_the_rest(body: bytes, expected: Body) -> None:
    """JSON passes without its line breaks, text becomes a string, and all else base64."""
    assert embed(body) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/html; charset=iso-8859-1", b"caf\xe9", "caf\xe9"),
        ("text/html;CHARSET = 'Latin1' ; x=y", b"caf\xe9", "caf\xe9"),
        ('text/plain; format=flowed; charset="ISO-8859-1"', b"caf\xe9", "caf\xe9"),
        ("text/plain; charset=iso-8859-1", "caf\xe9".encode(), "caf\xc3\xa9"),
        ("text/plain; charset=us-ascii", b"5 \x80 \x81", "5 \u20ac \x81"),
        ("text/plain; charset=ISO_8859-1:1987", b"\xe9", "\xe9"),
        ("text/plain; charset=iso-8859-8-i", b"\xe0", "\u05d0"),
        ("text/plain; charset=iso-8859-15", b"5 \xa4", "5 \u20ac"),
        ("text/plain; charset=iso-8859-2", b"\xb1", "\u0105"),
        ("text/plain; charset=windows-1251", b"\xcf\xf0", "\u041f\u0440"),
        ("text/plain; charset=koi8-r", b"\xf0", "\u041f"),
        ("text/plain; charset=Shift_JIS", b"\x93\xfa\x96{", "\u65e5\u672c"),
        ("text/plain; charset=iso-2022-jp", b"\x1b$BF|\x1b(B", "\u65e5"),
        ("text/plain; charset=euc-kr", b"\xc7\xd1", "\ud55c"),
        ("text/plain; charset=gb2312", b"\xd6\xd0", "\u4e2d"),
        ("text/plain; charset=big5", b"\xa4\xa4", "\u4e2d"),
        ("text/plain; charset=utf-16", "caf\xe9".encode("utf-16-le"), "caf\xe9"),
        ("text/plain; charset=utf-16be", "caf\xe9".encode("utf-16-be"), "caf\xe9"),
        ("text/plain; charset=utf-16be", "\ufeffcaf\xe9".encode("utf-16-le"), "caf\xe9"),
        ("text/plain; charset=iso-8859-1", BOM + "caf\xe9".encode(), "caf\xe9"),
        ("text/csv", "\ufeffa;b".encode("utf-16-le"), "a;b"),
        ("application/vnd.old; charset=latin1", b"caf\xe9", "caf\xe9"),
        ("application/json", '\ufeff{"a": 1}'.encode("utf-16-be"), {"a": 1}),
        ("application/json; charset=utf-16", '{"a": 1}'.encode("utf-16-le"), {"a": 1}),
        ("application/json; charset=iso-8859-1", b'{"a":\n"caf\xe9"}', {"a": "caf\xe9"}),
        ("application/json; charset=iso-8859-1", '{"a":"caf\xe9"}'.encode(), {"a": "caf\xe9"}),
        ("application/problem+json;charset=latin1", b'"caf\xe9"', "caf\xe9"),
        ("application/json; charset=utf-8", BOM + b"[1]", [1]),
        ("application/json; charset=latin1", BOM + b"[1]", [1]),
        ("text/html", BOM + b"[1]", [1]),
        ("application/json", b" \r\n", None),
        ("text/plain", b" \r\n", " \r\n"),
        (None, XML_LATIN_1, XML_LATIN_1.decode("latin-1")),
        ("text/xml", XML_LATIN_1, XML_LATIN_1.decode("latin-1")),
        ("text/html", b'<meta charset="windows-1252">\x80', '<meta charset="windows-1252">\u20ac'),
        (
            "text/html",
            b'<META http-equiv="Content-Type" content="text/html; charset=iso-8859-1">\xe9',
            '<META http-equiv="Content-Type" content="text/html; charset=iso-8859-1">\xe9',
        ),
        ("application/xml", b"<a>&lt;\xc3\xa9</a>", "<a>&lt;\xe9</a>"),
    ],
)
def test_embed_honours_the_charset(content_type: str | None, body: bytes, expected: Any) -> None:
    """Text is text in whatever charset it is declared, and JSON is JSON."""
    embedded = embed(body, typed(content_type))
    assert embedded.encoding is None
    assert json.loads(embedded.json) == expected


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"caf\xe9"),
        (None, "\ufeffcaf\xe9".encode("utf-16-le")),
        ("text/html", b"caf\xe9"),
        ("text/html; charset=utf-8", b"caf\xe9"),
        ("text/html; charset=x-unknown", b"caf\xe9"),
        ("text/html; charset=unicode_escape", b"caf\\u0000\xe9"),
        ("text/html; charset=utf-16", b"odd"[:1] + b"\xd8"),
        ("text/html; charset=shift_jis", b"caf\x81"),
        ("image/png; charset=iso-8859-1", b"\x89PNG"),
        ("application/pdf; charset=iso-8859-1", b"%PDF\xe2"),
        ("application/octet-stream", b"\xff\xfea\0"),
        ("text/html", b" " * 2000 + b'<meta charset="latin1">\xe9'),
    ],
)
def test_embed_replaces_no_byte(content_type: str | None, body: bytes) -> None:
    """What is no text in its charset, or in a charset that nobody knows, is kept as bytes."""
    embedded = embed(body, typed(content_type))
    assert embedded.encoding == "base64"
    assert base64.b64decode(json.loads(embedded.json)) == body


@given(
    st.binary(max_size=40)
    | st.text(max_size=9).map(lambda text: text.encode("utf-16", "surrogatepass"))
    | st.text(max_size=9).map(lambda text: BOM + text.encode(errors="replace")),
    st.none() | st.sampled_from(TYPES),
)
def test_embed_gives_one_line_of_json_for_anything(body: bytes, content_type: str | None) -> None:
    """Any body of any type becomes one JSON value on one line, and bytes can be recovered."""
    headers = typed(content_type)
    embedded = embed(body, headers)
    check_json(embedded.json)
    assert not {*b"\r\n"}.intersection(embedded.json)
    text = text_of(body, headers)
    if embedded.encoding:
        assert text is None
        assert base64.b64decode(json.loads(embedded.json)) == body
    try:
        value = json_of(Response(200, headers, body, 0))
    except NotJSON:
        assert embedded.encoding or json.loads(embedded.json) == text
    else:
        check_json(value)
        assert value.translate(None, b"\r\n") == embedded.json


def content(body: bytes, content_type: str | None = None, **settings: Any) -> Any:
    """Return what an outcome keeps of a response: the value, or the text of the error."""
    [plan] = plan_run([Api("a", "http://api.test/", **settings)], RunSettings(), {}).apis
    response = plan.responses.judge(Response(200, typed(content_type), body, 0))
    kept = plan.responses.content(response)
    if isinstance(kept, ErrorInfo):
        assert kept.kind == "decode"
        return kept.message
    return json.loads(kept.json)


@pytest.mark.parametrize("ok_when", [None, "`true`"])
@pytest.mark.parametrize(
    ("select", "body", "content_type", "expected"),
    [
        ("a", BOM + b'{"a":1}', None, 1),
        ("a", b'{"a":"\xe9"}', "application/json; charset=latin1", "\xe9"),
        ("a", '\ufeff{"a":1}'.encode("utf-16-le"), "application/json", 1),
        ("a.b", b"", "application/json", None),
        ("length(a)", b"", None, None),
        ("a", b"\r\n", "application/json", None),
        ("@", b"caf\xe9\n", "text/plain; charset=latin1", "caf\xe9\n"),
        ("length(@)", b"abc", "text/plain", 3),
        ("{text: @, kind: 'x'}", b"abc", "text/plain", {"text": "abc", "kind": "x"}),
        ("to_number(@)", b"x12", "text/plain", None),
    ],
)
def test_select_takes_what_servers_send(
    select: str, body: bytes, content_type: str | None, expected: Any, ok_when: str | None
) -> None:
    """Marks and charsets do not matter, nothing is selected from nothing, and text is text."""
    assert content(body, content_type, select=select, ok_when=ok_when) == expected


@pytest.mark.parametrize(
    "select",
    [
        *(
            "a",
            "a.b",
            "[0]",
            "[]",
            "[*]",
            "*",
            "[?a]",
            "[:2]",
            "@.a",
            "a || 'x'",
            "not_null(a, 'x')",
        ),
        *("{a: a}", "[a]", "[].a", "a[]", "*.a", "(a)", "!a", "a == 'x'", "'x' == a", "b && a"),
    ],
)
def test_select_finds_no_fields_in_text(select: str) -> None:
    """A page where JSON was expected fails its call; it is not null and ok."""
    assert content(b"<html>", "text/html", select=select).startswith("the response is not JSON (")
    assert content(b"\xff", "text/html", select=select).startswith("the response is not JSON (")
