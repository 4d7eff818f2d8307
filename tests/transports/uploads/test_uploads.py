"""Forms with files over every transport: exact, bounded, and broken off where a file changes."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from support.cancelling import cancelled_after
from support.certificates import Certificates
from support.client import Attempt, descriptors_settle_at, open_descriptors, request_head
from support.server import StartServer
from support.tokens import Guarded, TokenEndpoint, oauth2, opened
from support.uploads import BOUNDARY, KINDS, Kind, Sender, Sink, sender, sparse, upload_of

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.uploads.form import CONTENT_TYPE, Upload
from tmux_fanout.transports.layers import uploads
from tmux_fanout.transports.layers.beneath import open_beneath
from tmux_fanout.transports.select import check_transports

MIB = 1 << 20
LARGE = 24 * MIB  # more than what sockets and buffers hold
HUGE = 1 << 40  # more than can be read while a test runs
MAX_STEPS = 400


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def to(kind: Kind, sink: Sink, certificates: Certificates) -> AsyncIterator[Sender]:
    """Return a sender of the transport under test."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(sender(kind, sink, certificates))


async def failure(to: Sender, upload: Upload, attempt: Attempt | None = None) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await to.send(upload, attempt)
    error = caught.value
    assert error.kind == "template"
    assert not error.sent
    assert error.message.isprintable()
    return error


async def test_the_whole_form_arrives(to: Sender, sink: Sink, tmp_path: Path) -> None:
    """Parts, boundary and Content-Length are exact, also of empty files and of several."""
    contents = {"a.pdf": os.urandom(300_000), "empty": b"", "c": b"x" * (128 << 10)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    upload = upload_of(tmp_path / "a.pdf", "empty", "c")
    for turn in range(3):
        assert (await to.send(upload)).status == 200
        expected = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nt'.encode()
        for name, content in contents.items():
            expected += (
                f"\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; "
                f'name="doc"; filename="{name}"\r\nContent-Type: application/pdf\r\n\r\n'
            ).encode() + content
        expected += f"\r\n--{BOUNDARY}--\r\n".encode()
        request = sink.requests[turn]
        assert request.headers["content-length"] == str(len(expected))
        assert request.headers["content-type"] == f"multipart/form-data; boundary={BOUNDARY}"
        assert "transfer-encoding" not in request.headers
        assert request.is_whole
        assert request.digest.digest() == sha256(expected).digest()
        assert upload.size == len(expected)
    assert to.server.connections == 1


async def test_each_form_has_a_boundary_of_its_own(tmp_path: Path) -> None:
    """It is long and random, and the same in all attempts."""
    (tmp_path / "a").write_text("a")
    forms = [upload_of(tmp_path / "a") for _ in range(50)]
    seen: list[str] = []

    class Listening:
        async def send(self, request: Any, progress: Any) -> Any:
            [seen_type] = [value for name, value in request.head.headers if name == "Content-Type"]
            seen.append(seen_type)

    layer = uploads.UploadTransport(Listening())  # type: ignore[arg-type]  # as far as it is used
    head = request_head("http://a.test/", ("Content-Type", CONTENT_TYPE))
    for form in forms * 2:
        await layer.send(Request(head, form), Attempt())
    assert seen[:50] == seen[50:]
    assert len(set(seen)) == 50
    assert all(len(form.boundary) == 40 for form in forms)


async def test_an_early_answer_ends_the_upload(
    kind: Kind, to: Sender, sink: Sink, tmp_path: Path
) -> None:
    """A server that answers 413 and reads no more is heard, and the file not read to its end."""
    if kind == "client":
        pytest.skip("httpx's own connections send the whole request before they read")
    sink.stops, sink.answers = True, [(413, b"too large")]
    answer = await to.send(upload_of(sparse(tmp_path / "huge", HUGE)))
    assert (answer.status, answer.body) == (413, b"too large")
    assert sink.requests[0].size < LARGE
    sink.stops, sink.answers = False, [(200, b"{}")]
    (tmp_path / "small").write_text("x")
    assert (await to.send(upload_of(tmp_path / "small"))).status == 200


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _touch(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(1, 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "shrinks": lambda path: os.truncate(path, LARGE - 1),
    "is emptied": lambda path: os.truncate(path, 0),
    "grows": _append,
    "is written to": _touch,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_file_that_changes_breaks_the_request_off(
    to: Sender, sink: Sink, tmp_path: Path, change: str
) -> None:
    """The server never has a whole request, and the next one is not affected."""
    path = sparse(tmp_path / "large", LARGE)
    os.utime(path, ns=(5, 5))
    sink.middle = lambda: CHANGES[change](path)
    error = await failure(to, upload_of(path))
    assert error.message == "body: field doc: file 'large': it changed while it was sent"
    assert not error.transient
    (tmp_path / "small").write_text("x")
    assert (await to.send(upload_of(tmp_path / "small"))).status == 200
    assert [request.is_whole for request in sink.requests] == [False, True]
    assert 0 < sink.requests[0].size < int(sink.requests[0].headers["content-length"])


async def test_a_later_attempt_sends_the_same_or_nothing(
    to: Sender, sink: Sink, tmp_path: Path
) -> None:
    """A file that was replaced, if only by an equal one, makes another request."""
    path = tmp_path / "a"
    path.write_text("one")
    upload = upload_of(path)
    for _ in range(2):
        await to.send(upload)
    (tmp_path / "b").write_text("one")
    (tmp_path / "b").rename(path)
    attempt = Attempt()
    error = await failure(to, upload, attempt)
    assert error.message == "body: field doc: file 'a': it has changed since the first attempt"
    assert not attempt.sent
    assert len({request.digest.digest() for request in sink.requests}) == 1
    path.unlink()
    error = await failure(to, upload)
    assert error.message == f"body: field doc: file 'a': no such file in the folder '{tmp_path}'"


async def test_a_file_replaced_before_it_is_read_is_not_sent(
    to: Sender, sink: Sink, tmp_path: Path
) -> None:
    """It was measured, and another one is in its place when its turn comes."""
    sparse(tmp_path / "first", LARGE)
    (tmp_path / "second").write_text("2")
    (tmp_path / "other").write_text("3")
    sink.middle = lambda: (tmp_path / "other").rename(tmp_path / "second")
    error = await failure(to, upload_of(tmp_path / "first", "second"))
    assert error.message == "body: field doc: file 'second': it changed while it was sent"
    assert not sink.requests[0].is_whole


async def test_what_cannot_be_opened_is_not_sent(to: Sender, sink: Sink, tmp_path: Path) -> None:
    """Not even a connection is made."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "out").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    whys = {
        "nix": f"no such file in the folder '{tmp_path}'",
        "sub": "it is a folder",
        "out": "a symbolic link leads out of files_root",
        "fifo": "it is a pipe, not a file",
    }
    for name, why in whys.items():
        attempt = Attempt()
        error = await failure(to, upload_of(tmp_path / name), attempt)
        assert error.message == f"body: field doc: file {name!r}: {why}"
        assert (attempt.sent, error.transient, error.shortage) == (False, False, "")
    assert not to.server.connections


@pytest.mark.parametrize(
    ("number", "shortage", "why"),
    [
        (errno.EMFILE, "open files", "Too many open files"),
        (errno.EACCES, "", "Permission denied"),
        (errno.EIO, "", "Input/output error"),
    ],
)
async def test_errors_of_the_system_say_what_is_wrong(
    tmp_path: Path, monkeypatch: Any, number: int, shortage: str, why: str
) -> None:
    """What runs out on this machine is waited for, as it is with connections."""

    def fail(root: str, steps: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(uploads, "open_beneath", fail)
    with pytest.raises(TransportError) as caught:
        uploads.measure(upload_of(tmp_path / "a"))
    error = caught.value
    assert error.message == f"body: field doc: file 'a': it cannot be read: {why}"
    assert (error.shortage, error.transient) == (shortage, bool(shortage))


async def test_a_file_that_cannot_be_read_on_fails(
    to: Sender, sink: Sink, tmp_path: Path, monkeypatch: Any
) -> None:
    """As where a network share goes away in the middle."""
    really_read, path = os.read, sparse(tmp_path / "large", LARGE)
    is_broken = False

    def read(descriptor: int, size: int) -> bytes:
        if is_broken:
            raise OSError(errno.EIO, "Input/output error")
        return really_read(descriptor, size)

    def break_it() -> None:
        nonlocal is_broken
        is_broken = True

    sink.middle = break_it
    monkeypatch.setattr(os, "read", read)
    error = await failure(to, upload_of(path))
    assert error.message == "body: field doc: file 'large': it cannot be read: Input/output error"
    assert not sink.requests[0].is_whole


async def test_many_at_once_read_in_few_threads(
    to: Sender, sink: Sink, tmp_path: Path, monkeypatch: Any
) -> None:
    """Each sends its own file."""
    names = [f"{n}" for n in range(30)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 100_000)
    reading, peak = 0, 0
    opened_beneath = open_beneath

    def counting(root: str, steps: Any) -> Any:
        nonlocal reading, peak
        reading += 1
        peak = max(peak, reading)
        try:
            return opened_beneath(root, steps)
        finally:
            reading -= 1

    monkeypatch.setattr(uploads, "open_beneath", counting)
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(to.send, upload_of(tmp_path / name))
    assert peak <= 8
    assert all(request.is_whole for request in sink.requests)
    assert len({request.digest.digest() for request in sink.requests}) == 30


async def test_cancelled_in_the_middle_it_closes_the_file(
    to: Sender, sink: Sink, tmp_path: Path
) -> None:
    """No descriptor is left, no thread is in use, and the next upload works."""
    (tmp_path / "small").write_text("x")
    await to.send(upload_of(tmp_path / "small"))
    upload = upload_of(sparse(tmp_path / "huge", HUGE))
    sink.begun = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(to.send, upload)
        await sink.begun.wait()
        nursery.cancel_scope.cancel()
    assert "UploadTransport: 0 reading" in repr(to.layer)
    assert not _open_below(tmp_path)
    assert (await to.send(upload_of(tmp_path / "small"))).status == 200


async def test_cancelled_at_any_step_it_leaves_nothing(
    to: Sender, sink: Sink, tmp_path: Path
) -> None:
    """Files, threads and sockets are back where they were."""
    (tmp_path / "a").write_bytes(b"x" * (400 << 10))
    await to.send(upload_of(tmp_path / "a"))
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        is_cancelled = await cancelled_after(steps, lambda: to.send(upload_of(tmp_path / "a")))
        assert not _open_below(tmp_path)
        if not is_cancelled:
            break
    else:
        pytest.fail("it never ends")
    assert (await to.send(upload_of(tmp_path / "a"))).status == 200
    assert await descriptors_settle_at(before)


def _open_below(folder: Path) -> list[str]:
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue  # the descriptor of the list itself
    return [path for path in paths if path.startswith(str(folder))]


async def test_redirects_and_renewed_tokens_send_it_again(
    start: StartServer, tmp_path: Path, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """The file is read once more for each request."""
    (tmp_path / "a").write_bytes(b"x" * (200 << 10))
    sink, upload = Sink(), upload_of(tmp_path / "a")
    sink.answers = [(401, b""), (307, b""), (200, b"{}")]
    sink.more_headers = ("Location: /next",)
    tokens = await start(endpoint.script)
    server = await start(sink.script)
    api = Api(
        "a",
        server.url,
        auth=oauth2(tokens.url),
        body="{f: file(@)}",
        body_format="multipart",
        files_root=str(tmp_path),
        redirects=2,
    )
    head = request_head(server.url, ("Content-Type", CONTENT_TYPE))
    async with opened(api) as [transport]:
        head = type(head)("POST", head.origin, head.target, head.headers)
        answer = await transport.send(Request(head, upload), Attempt())
    assert answer.status == 200
    assert [request.is_whole for request in sink.requests] == [True] * 3
    assert len({request.size for request in sink.requests}) == 1


def test_the_folder_has_to_be_there(tmp_path: Path) -> None:
    """This is found out before anything is sent."""
    api = Api("a", "http://a.test/", body_format="multipart", files_root=str(tmp_path / "nix"))
    with pytest.raises(ConfigError, match=r"API 'a': files_root: no such folder: .*/nix"):
        check_transports(plan_run([api], RunSettings(), {}).apis)
