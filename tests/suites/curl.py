"""curl's test replies as data: files with tags, and macros in the text between them."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import NamedTuple

_REPLY = re.compile(rb"<reply>(.*?)</reply>", re.DOTALL)
_DATA = re.compile(rb"<data([ >].*?)\n(.*?)</data>", re.DOTALL)
_OTHER_REPLIES = re.compile(rb"<(?:data[0-9]|connect|servercmd)")
_SERVERS = re.compile(rb"<server>\s*(\S+)\s*</server>")
_REPEAT = re.compile(rb"%repeat\[(\d+) x (.*?)\]%", re.DOTALL)
_HEX = re.compile(rb"%hex\[(.*?)\]hex%", re.DOTALL)
_BASE64 = re.compile(rb"%b64\[(.*?)\]b64%", re.DOTALL)
_BYTE = re.compile(rb"%([0-9a-fA-F]{2})")
_UNKNOWN = re.compile(rb"%(?:if|include|[A-Z0-9]{3,}|days|\w+\[)")
_MACROS = {
    b"%CR": b"\r",
    b"%SP": b" ",
    b"%TAB": b"\t",
    b"%AMP": b"&",
    b"%GT": b">",
    b"%LT": b"<",
    b"%HOSTIP": b"127.0.0.1",
    b"%HTTPPORT": b"80",
    b"%TESTNUMBER": b"1",
}


class Reply(NamedTuple):
    """A server's reply in a test, and the method of the request for it."""

    method: str
    data: bytes


def replies(folder: Path) -> dict[str, Reply]:
    """Yield the reply of each test in curl's folder `tests/data` that has a single HTTP/1 reply.

    Tests with a macro that only curl's runner can expand are left out.
    """
    found = {}
    paths = [path for path in folder.glob("test*") if path.name[4:].isdecimal()]
    for path in sorted(paths, key=lambda path: int(path.name[4:])):
        reply = _reply(path.read_bytes())
        if reply:
            found[path.name] = reply
    return found


def _reply(text: bytes) -> Reply | None:
    reply = _REPLY.search(text)
    if not reply or _OTHER_REPLIES.search(reply[1]) or _SERVERS.findall(text) != [b"http"]:
        return None
    data = _DATA.findall(reply[1])
    if len(data) != 1:
        return None
    attributes, content = data[0]
    if b"base64" in attributes:
        content = base64.b64decode(content)
    content = _expanded(content)
    if content is None or not content.startswith(b"HTTP/1"):
        return None
    if b"nonewline" in attributes:
        content = content.removesuffix(b"\n")
    if b'crlf="yes"' in attributes:
        content = re.sub(rb"\r?\n", b"\r\n", content)
    elif b"crlf=" in attributes:
        content = _with_crlf_in_heads(content)
    is_head = re.search(rb"<command[^>]*>[^<]*(?: -I|--head)\b", text)
    return Reply("HEAD" if is_head else "GET", content)


def _expanded(content: bytes) -> bytes | None:
    """Return the text with its macros expanded, or None if one is unknown."""

    def decoded(text: bytes) -> bytes:
        return _BYTE.sub(lambda byte: bytes([int(byte[1], 16)]), text)

    for macro, text in _MACROS.items():
        content = content.replace(macro, text)
    if _UNKNOWN.search(re.sub(rb"%(?:repeat|hex|b64)\[", b"", content)):
        return None
    content = _REPEAT.sub(lambda match: decoded(match[2]) * int(match[1]), content)
    content = _HEX.sub(lambda match: decoded(match[1]), content)
    return _BASE64.sub(lambda match: base64.b64encode(decoded(match[1])), content)


def _with_crlf_in_heads(content: bytes) -> bytes:
    """Return the text with CRLF up to the end of the last consecutive head."""
    done = b""
    while content.startswith(b"HTTP/"):
        head, end, content = content.partition(b"\n\n")
        done += re.sub(rb"\r?\n", b"\r\n", head + end)
    return done + content
