"""The body of a response as people and programs mean it: JSON, text, bytes, or nothing.

JSON in UTF-8 passes through as it came.  The rest of this file is for everything else, and reads
it as browsers do (WHATWG Encoding, section 4.2; MIME Sniffing, section 4):

- A byte order mark counts first, and is dropped.
- Then counts the charset of Content-Type, except that JSON is UTF-8 wherever it can be (RFC 8259,
  section 8.1): many servers declare a charset that they do not use.
- What is neither UTF-8 nor declared may declare itself: `<?xml encoding=...?>`, `<meta charset>`.

Nothing is replaced.  A body with a byte that its charset does not have is no text.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import Body, NotJSON, check_json, encode_text
from tmux_fanout.core.policy.keep_alive import Headers

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?\s*([^\s;\"']+)", re.IGNORECASE)
_JSON = re.compile(r"[^;]*json", re.IGNORECASE)
_TEXT = re.compile(r"\s*text/|[^;]*(?:json|xml|html|javascript|csv|yaml)", re.IGNORECASE)
_BINARY = re.compile(
    r"\s*(?:image/(?!svg)|audio/|video/|font/|application/(?:octet-stream|pdf|[^;]*zip))",
    re.IGNORECASE,
)
_DECLARATION = re.compile(
    rb"\A\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)"
    rb"|<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)",
    re.IGNORECASE,
)
_MAX_TYPE = 256  # bytes of a Content-Type that are read
_DECLARED_WITHIN = 1024  # bytes, as in HTML (section 4.2.5.4)
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# The charsets of WHATWG Encoding by Python's names for them.  No other codec is ever used: Python
# has some that are no charsets, and remembers each name that it does not know.
_ISO = re.compile(r"(?:cs)?iso[-_]?8859[-_]?(1[03-6]|[2-8])(?:-[ei])?")
_WINDOWS = re.compile(r"(?:windows-|x-cp|cp)(125[0-8]|874|866)")
_CODECS = {
    "windows-1252": "iso-8859-1 iso8859-1 iso88591 iso_8859-1 latin1 latin-1 l1 ascii us-ascii",
    "utf-8": "utf8 unicode-1-1-utf-8",
    "utf-16-le": "utf-16 utf-16le utf16 unicode ucs-2",
    "utf-16-be": "utf-16be",
    "cp1254": "iso-8859-9 iso8859-9 latin5",
    "cp874": "iso-8859-11 tis-620",
    "cp866": "ibm866",
    "koi8_r": "koi8-r koi8",
    "koi8_u": "koi8-u koi8-ru",
    "mac_roman": "macintosh x-mac-roman",
    "mac_cyrillic": "x-mac-cyrillic",
    "gb18030": "gb2312 gbk x-gbk gb_2312-80 chinese",
    "big5hkscs": "big5 big5-hkscs cn-big5",
    "euc_jp": "euc-jp x-euc-jp",
    "iso2022_jp": "iso-2022-jp",
    "cp932": "shift_jis shift-jis sjis x-sjis windows-31j ms932",
    "cp949": "euc-kr ks_c_5601-1987 ksc5601 windows-949 korean",
}
_BY_LABEL = {
    label: codec for codec, labels in _CODECS.items() for label in [codec, *labels.split()]
}
# Browsers read Latin-1 and ASCII as this; bytes that Windows-1252 leaves open are controls.
_WINDOWS_1252 = "".join(bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256))


def embed(body: bytes, headers: Headers = ()) -> Body:
    """Return a response body as a JSON value on one line.

    JSON stays unchanged except for line breaks, which can only stand between its tokens; other
    text becomes a string, bytes become base64, and no body at all becomes null.

    Args:
        body: with its content codings undone.
        headers: of the response.
    """
    try:
        check_json(body)
    except NotJSON:
        return _embed_other(body, headers)
    return Body(body.translate(None, b"\r\n") if b"\n" in body or b"\r" in body else body)


def _embed_other(body: bytes, headers: Headers) -> Body:
    if is_empty(body, headers):
        return Body(b"null")
    text = text_of(body, headers)
    if text is None:
        return Body(b'"' + base64.b64encode(body) + b'"', "base64")
    json = text.encode()
    if json == body:  # not JSON, as is known by now
        return Body(encode_text(text))
    try:
        check_json(json)
    except NotJSON:
        return Body(encode_text(text))
    return Body(json.translate(None, b"\r\n"))


def json_of(response: Response) -> bytes:
    """Return the body of a response as JSON text in UTF-8; that of an empty one is null.

    Raises:
        NotJSON: it is not JSON.
    """
    body = response.body
    try:
        check_json(body)
    except NotJSON:
        if is_empty(body, response.headers):
            return b"null"
        json = in_utf8(body, response.headers)
        if json == body:
            raise
        check_json(json)
        return json
    return body


def in_utf8(body: bytes, headers: Headers) -> bytes:
    """Return text in UTF-8 without a byte order mark; anything else as it is."""
    text = text_of(body, headers)
    return body if text is None else text.encode()


def is_empty(body: bytes, headers: Headers) -> bool:
    """Return whether a response has no body, or white space alone where JSON was announced."""
    return not body or (body.isspace() and _type_of(headers).is_json)


def text_of(body: bytes, headers: Headers) -> str | None:
    """Return the text of a body; None if it is none, or in an unknown charset."""
    for codec, start in _candidates(body, _type_of(headers)):
        text = _decode(body[start:], codec)
        if text is not None:
            return text
    return None


def _candidates(body: bytes, media: _MediaType) -> Iterator[tuple[str, int]]:
    """Yield the codecs that a body may be in, best first, and where its text begins."""
    if body.startswith(codecs.BOM_UTF8):
        yield "utf-8", len(codecs.BOM_UTF8)
    if media.is_binary:
        yield "utf-8", 0
        return
    declared = media.codec
    if declared or media.is_text:
        for mark, codec in _MARKS:
            if body.startswith(mark):
                yield codec, len(mark)
    if declared.startswith("utf-16") or (declared and not media.is_json):
        yield declared, 0
    yield "utf-8", 0
    last = declared if media.has_charset else _codec_within(body)
    if last:
        yield last, 0


class _MediaType(NamedTuple):
    """What a Content-Type says: the kind of the body, and the codec of its charset or ""."""

    is_json: bool
    is_text: bool
    is_binary: bool
    has_charset: bool
    codec: str


def _type_of(headers: Headers) -> _MediaType:
    for name, value in headers:
        if name == b"content-type":
            return _parse_type(value[:_MAX_TYPE])
    return _parse_type(b"")


@lru_cache(maxsize=64)  # servers repeat themselves
def _parse_type(value: bytes) -> _MediaType:
    text = value.decode("latin-1")
    charset = _CHARSET.search(text)
    return _MediaType(
        is_json=bool(_JSON.match(text)),
        is_text=bool(_TEXT.match(text)),
        is_binary=bool(_BINARY.match(text)),
        has_charset=charset is not None,
        codec=_codec(charset[1]) if charset else "",
    )


def _codec_within(body: bytes) -> str:
    """Return the codec that XML or HTML declares in its first bytes; "" if there is none."""
    found = _DECLARATION.search(body, 0, _DECLARED_WITHIN)
    return _codec((found[1] or found[2]).decode("ascii", "replace")) if found else ""


def _codec(label: str) -> str:
    """Return Python's name for a charset; "" for an unknown one."""
    label = label.lower().partition(":")[0]  # as in `iso_8859-1:1987`
    known = _BY_LABEL.get(label)
    if known:
        return known
    if iso := _ISO.fullmatch(label):
        return f"iso8859_{iso[1]}"
    windows = _WINDOWS.fullmatch(label)
    if windows is None:
        return ""
    return "windows-1252" if windows[1] == "1252" else f"cp{windows[1]}"


def _decode(body: bytes, codec: str) -> str | None:
    try:
        if codec == "windows-1252":
            return codecs.charmap_decode(body, "strict", _WINDOWS_1252)[0]
        return body.decode(codec)
    except UnicodeDecodeError:
        return None
