"""Records and responses with every oddity that JSON and HTTP allow, and some that they forbid.

Values are JSON text rather than Python values: `1.10`, duplicate keys and lone surrogates exist in
text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

NUMBERS = [
    b"0",
    b"-0",
    b"-0.0",
    b"1",
    b"1.10",
    b"1e2",
    b"1E+2",
    b"1E400",
    b"-1E400",
    b"1e-400",
    b"0e99999999999999999999",
    b"1e99999999999999999999",
    b"0.1000000000000000055511151231257827",
    b"123456789012345678901234567890.5",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"9" * 310,
    b"9" * 4300,
    b"9" * 4301,
    b"-" + b"1" * 5000,
]
STRINGS = [
    b'""',
    b'"text"',
    b'"\\ud800"',
    b'"a\\udc00\\uD800"',
    b'"\\ud83c\\udf89"',
    b'"\\u0000"',
    b'"\\r\\nX-Evil: 1"',
    b'"\\u001b[2J\\u202e"',
    '"é漢\U0001f389"'.encode(),
    '"a\u2028b\u0085"'.encode(),
    b'"../../admin"',
    b'".."',
    b'"?#/@:%2f"',
    b'"{n}"',
    b'"${HOME}"',
    b'"1.10"',
    b'"127.0.0.1"',
    b'"NaN"',
    b'"%b"' % (b"x" * 3000),
]
KEYS = [
    b'"n"',
    b'"t"',
    b'"id"',
    b'"items"',
    b'"a"',
    b'"b"',
    b'"value"',
    b'"a.b"',
    b'"_errors"',
    b'"_results"',
    b'""',
    b'"\\ud800"',
    b'"\\u0061"',
    '"ключ"'.encode(),
]
INVALID_RECORDS = [
    b"{",
    b"\xff",
    b"NaN",
    b'{"n":01}',
    b'{"n":1,}',
    b"\0",
    b'"\xed\xa0\x80"',
    b"[" * 600 + b"]" * 600,
    b"[" * 100_000,
    b'{"n":1}}',
    b"'n'",
    b"\xef\xbb\xbf{}",
]

_spaces = st.sampled_from([b"", b"", b"", b" ", b"\t "])
_scalars = st.sampled_from([*NUMBERS, *STRINGS, b"null", b"true", b"false"])


def _array(items: Sequence[bytes], space: bytes) -> bytes:
    return b"[%b]" % (space + b",").join(items)


def _object(members: Sequence[tuple[bytes, bytes]], space: bytes) -> bytes:
    return b"{%b}" % b",".join(b"%b%b:%b%b" % (space, k, space, v) for k, v in members)


def _nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    members = st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=5)
    deep = st.integers(1, 480).map(lambda levels: b"[" * levels + b"]" * levels)
    return (
        st.builds(_array, st.lists(inner, max_size=3), _spaces)
        | st.builds(_object, members, _spaces)
        | deep
    )


json_texts = st.recursive(_scalars, _nested, max_leaves=8)
"""Valid JSON texts on one line."""

objects = st.builds(
    _object,
    st.lists(st.tuples(st.sampled_from(KEYS), json_texts), min_size=1, max_size=6),
    _spaces,
)
"""JSON objects on one line, some with duplicate keys."""

lines = objects | objects | json_texts | st.sampled_from(INVALID_RECORDS)
"""Input lines, most of them valid records."""


class Reply(NamedTuple):
    """What a server sends, byte for byte; it then closes the connection if `closes` is set."""

    wire: bytes
    closes: bool = False


STATUSES = [
    200,
    200,
    200,
    200,
    201,
    204,
    304,
    302,
    303,
    307,
    400,
    401,
    404,
    408,
    413,
    415,
    421,
    422,
    429,
    500,
    503,
    599,
]
BODIES = [
    b"",
    b"plain text",
    b"\xff\xfe\0",
    b"[" * 5000,
    b"[" * 900 + b"]" * 900,
    b"\xef\xbb\xbf{}",
    b'{"n":1}\n{"n":2}\n',
    b"NaN",
    b'"\xed\xa0\x80"',
]
HEADERS = [
    b"Retry-After: 0",
    b"Retry-After: 1e400",
    b"Retry-After: " + b"9" * 5000,
    b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT",
    b"Retry-After: Fri, 99 Foo 99999999999 99:99:99 GMT",
    b'RateLimit: "default";r=0;t=' + b"9" * 400,
    b"RateLimit: ;;;r=0;t=x",
    b"Set-Cookie: a=1",
    b"Set-Cookie: b=\xff",
    b"X-Odd: \xe9\x85",
    b"Content-Type: application/json; charset=utf-16",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate, br",
    b"Location: /again",
    b"Location: //evil.test:99999999/",
    b"Location: http://[::1",
    b"Link: </again?page=2>; rel=next",
    b"Link: <http://[::1>; rel=next, ,;=",
    b"Cache-Control: private, no-store",
    b"Deprecation: @1688169599",
    b"Deprecation: @99999999999999999999",
    b"Deprecation: \xff",
    b"Sunset: Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunset: Fri, 99 Foo 99999999999 99:99:99 GMT",
    b"Accept-Encoding: identity",
    b'Authentication-Info: nextnonce="x", rc=\xff',
    b"Connection: close",
]
CHALLENGES = [
    b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"',
    b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256, stale=true',
    b'WWW-Authenticate: Digest realm="\xff", nonce="\\"", algorithm=MD5-sess, userhash=true',
    b"WWW-Authenticate: Digest realm=, nonce",
    b"WWW-Authenticate: Digest",
    b"WWW-Authenticate: Bearer, Basic realm=x",
]


def _reply(
    status: int, headers: Sequence[bytes], challenge: bytes, body: bytes, framing: str
) -> Reply:
    lines = [b"HTTP/1.1 %d Odd" % status, *headers, *([challenge] if status == 401 else [])]
    if status in (204, 304):
        body = b""
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif framing != "to the end":
        length_error = {"short": 1, "long": -1}.get(framing, 0)
        lines.append(b"Content-Length: %d" % max(0, len(body) + length_error))
    wire = b"\r\n".join(lines) + b"\r\n\r\n" + body
    closes = framing not in ("length", "chunked") or b"Connection: close" in headers
    return Reply(wire, closes)


replies = st.builds(
    _reply,
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(HEADERS), max_size=3),
    st.sampled_from(CHALLENGES),
    st.sampled_from(BODIES) | json_texts | json_texts | objects,
    st.sampled_from(["length", "length", "length", "chunked", "to the end", "short", "long"]),
) | st.sampled_from([Reply(b"", True), Reply(b"HTTP/1.1 200", True), Reply(b"\x15\x03\x01", True)])
"""Responses, most of them valid HTTP."""
