"""The setting `tls`: trusted authorities, our certificate, and unusable files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from support.certificates import Certificates
from support.client import KEYS, Attempt, TransportKind, request_head
from support.server import StartServer, answering, echo, response

from tmux_fanout import ConfigError, fanout, fanout_sync
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.config.tables import parse_tls
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.transports.select import open_transports
from tmux_fanout.transports.tls import TlsUse, tls_context, tls_contexts


class Files:
    """Files that a user may name under `tls`, good and bad, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.certificates = Certificates()
        self.directory = directory
        self.ca = self.certificates.write_authority(directory)
        self.cert, self.key = self.certificates.write_identity(directory, "client.test")
        self.other_key = self.certificates.write_identity(directory, "other.test")[1]
        self.both = self._write("both.pem", self.key.read_bytes() + self.cert.read_bytes())
        self.garbage = self._write("garbage.pem", b"\x30\x82garbage")
        self.empty = self._write("empty.pem", b"")
        self.bad_cert = self._write("bad-cert.pem", _damaged(self.cert))
        self.bad_key = self._write("bad-key.pem", _damaged(self.key))
        self.encrypted = self._write("encrypted.pem", _encrypted(self.key))
        self.missing = directory / "missing.pem"
        self.fifo = directory / "fifo"
        os.mkfifo(self.fifo)

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path


def _damaged(path: Path) -> bytes:
    """Return the path of a PEM file with altered, but still valid, base64."""
    lines = path.read_bytes().splitlines(keepends=True)
    return lines[0] + b"AAAA" * 16 + b"\n" + b"".join(lines[2:])


def _encrypted(path: Path) -> bytes:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"c4n4ry"),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


async def send(kind: TransportKind, url: str, **tls: Any) -> bytes:
    """POST through the transport that an API with these settings gets."""
    api = Api("a", url, **KEYS[kind], tls={key: str_of(value) for key, value in tls.items()})
    head = msgspec.structs.replace(request_head(url), method="POST")
    async with open_transports(plan_run([api], RunSettings(), {}).apis) as [transport]:
        return (await transport.send(Request(head, b"hi"), Attempt())).body


def str_of(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


@pytest.mark.parametrize("how", ["two files", "one file"])
async def test_server_that_wants_a_certificate_gets_ours(
    start: StartServer, kind: TransportKind, files: Files, how: str
) -> None:
    """From `cert` and `key`, or both from `cert`."""
    server = await start(echo, tls=files.certificates.server(mutual=True))
    ours = {"cert": files.both} if how == "one file" else {"cert": files.cert, "key": files.key}
    assert await send(kind, server.url, ca=files.ca, **ours) == b"hi"


async def test_server_that_wants_a_certificate_refuses_without(
    start: StartServer, kind: TransportKind, files: Files, tmp_path: Path
) -> None:
    """Or with one that it does not know: nothing is processed."""
    server = await start(echo, tls=files.certificates.server(mutual=True))
    cert, key = Certificates().write_identity(tmp_path, "stranger.test")
    for theirs in ({}, {"cert": cert, "key": key}):
        with pytest.raises(TransportError):
            await send(kind, server.url, ca=files.ca, **theirs)
    assert server.requests == []


@pytest.mark.parametrize("how", ["file", "directory"])
async def test_ca_is_trusted_instead_of_the_system(
    start: StartServer,
    kind: TransportKind,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """A file, or all files of a directory, whatever else is in it; and no other authority."""
    (tmp_path / "README").write_text("not a certificate")
    (tmp_path / "folder").mkdir()
    path = files.certificates.write_authority(tmp_path)
    server = await start(echo, tls=files.certificates.server())
    assert await send(kind, server.url, ca=path if how == "file" else tmp_path) == b"hi"
    stranger = Certificates().write_authority(tmp_path / "folder")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert await send(kind, server.url) == b"hi"
    with pytest.raises(TransportError, match="unable to get local issuer certificate"):
        await send(kind, server.url, ca=stranger)


@pytest.mark.parametrize(
    "settings", [{"expired": True}, {"name": "other.test"}, {"trusted": False}]
)
async def test_verify_false_takes_any_server(
    start: StartServer, kind: TransportKind, files: Files, settings: dict[str, Any]
) -> None:
    """And still presents our certificate."""
    server = await start(echo, tls=files.certificates.server(**settings, mutual=True))
    ours = {"cert": files.cert, "key": files.key}
    assert await send(kind, server.url, verify=False, **ours) == b"hi"
    with pytest.raises(TransportError, match="not accepted"):
        await send(kind, server.url, ca=files.ca, **ours)


async def test_apis_are_each_verified_by_their_own_settings(
    start: StartServer, files: Files
) -> None:
    """Turning verification off for one API does not affect another."""
    server = await start(answering(response()), tls=files.certificates.server())
    apis = [Api("lax", server.url, tls={"verify": False}), Api("strict", server.url)]
    async with fanout([1], apis, retries=0) as results:
        [result] = [result async for result in results]
    assert result["lax"].ok
    assert result["strict"].error
    assert result["strict"].error.kind == "tls"


NOT_PEM = "holds no certificate in PEM form; use a file that does"
NO_KEY = "holds no private key in PEM form; use a file that does"
ENCRYPTED = "is encrypted; decrypt it with: openssl pkey -in KEY -out PLAIN"

WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"ca": "missing"}, "ca", "does not exist; use the path of a PEM file"),
    ({"ca": "garbage"}, "ca", NOT_PEM),
    ({"ca": "empty"}, "ca", NOT_PEM),
    ({"ca": "key"}, "ca", NOT_PEM),
    ({"ca": "bad_cert"}, "ca", "holds a damaged certificate; create the file again"),
    ({"ca": "fifo"}, "ca", "is not a regular file; use the path of a PEM file"),
    ({"cert": "missing"}, "cert", "does not exist; use the path of a PEM file"),
    ({"cert": "cert", "key": "missing"}, "key", "does not exist; use the path of a PEM file"),
    ({"cert": "directory"}, "cert", "is not a regular file; use the path of a PEM file"),
    ({"cert": "garbage", "key": "key"}, "cert", NOT_PEM),
    ({"cert": "key", "key": "cert"}, "cert", NOT_PEM),
    (
        {"cert": "bad_cert", "key": "key"},
        "cert",
        "holds a damaged certificate; create the file again",
    ),
    ({"cert": "cert"}, "cert", "holds no private key in PEM form; set tls.key"),
    ({"cert": "cert", "key": "garbage"}, "key", NO_KEY),
    ({"cert": "cert", "key": "cert"}, "key", NO_KEY),
    (
        {"cert": "cert", "key": "bad_key"},
        "key",
        "holds a damaged private key; create the file again",
    ),
    ({"cert": "cert", "key": "encrypted"}, "key", ENCRYPTED),
    (
        {"cert": "cert", "key": "other_key"},
        "key",
        "holds a private key that does not belong to the certificate in {cert!r}",
    ),
]


@pytest.mark.parametrize(("settings", "key", "words"), WRONG)
def test_tls_context_names_the_file_at_fault(
    files: Files, settings: dict[str, str], key: str, words: str
) -> None:
    """Key, path and what to do, on one line."""
    paths = {name: str(getattr(files, file)) for name, file in settings.items()}
    with pytest.raises(ConfigError) as caught:
        tls_context(parse_tls(paths))
    assert str(caught.value) == f"tls.{key}: {paths[key]!r} {words.format(cert=str(files.cert))}"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "shown"),
    [("", "''"), ("a\0b", r"'a\x00b'"), ("a\nb", r"'a\nb'"), ("\udcff", r"'\udcff'")],
)
def test_tls_context_survives_any_path(path: str, shown: str) -> None:
    """An impossible path is reported as missing, and printed harmlessly."""
    with pytest.raises(ConfigError) as caught:
        tls_context(Tls(ca=path))
    assert str(caught.value).startswith(f"tls.ca: {shown} ")


def test_tls_context_wants_a_certificate_in_a_directory(tmp_path: Path) -> None:
    """An empty one would trust no server."""
    with pytest.raises(ConfigError, match="is a directory without any certificate in PEM form"):
        tls_context(Tls(ca=str(tmp_path)))


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file that cannot be read")
def test_tls_context_says_that_a_file_cannot_be_read() -> None:
    """With the system's message."""
    with pytest.raises(ConfigError, match=r"cannot be read: input/output error$"):
        tls_context(Tls(ca="/proc/self/mem"))


@pytest.mark.parametrize("call", [fanout, fanout_sync])
@pytest.mark.parametrize("url", ["https://a.test/", "http://a.test/"])
def test_library_raises_at_once(call: Callable[..., Any], url: str, files: Files) -> None:
    """Before anything is sent or iterated, and with the name of the API."""
    with pytest.raises(ConfigError, match=r"^API 'a': tls\.ca: .* does not exist; "):
        call([1], [Api("a", url, tls={"ca": str(files.missing)})])


def test_tls_contexts_makes_one_for_each_setting(files: Files) -> None:
    """APIs with equal settings share it; one without https needs none."""
    same = {"ca": str(files.ca)}
    apis = [
        Api("a", "https://a.test/", tls=same),
        Api("b", "https://b.test/", tls=dict(same)),
        Api("c", "https://c.test/"),
        Api("d", "http://d.test/"),
    ]
    contexts = tls_contexts(plan_run(apis, RunSettings(), {}).apis)
    assert contexts.keys() == {TlsUse(Tls(ca=str(files.ca))), TlsUse(Tls())}
    assert tls_contexts(plan_run(apis[3:], RunSettings(), {}).apis) == {}
