"""Uploads by the whole command: files that records name, from the folder to the server."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.command import COMMAND, environment, lines, run, start
from support.loopback import Loopback

from tmux_fanout import Api, fanout_sync

MIB = 1 << 20

TEXT = """
[api.claims]
url = "{url}"
body_format = "multipart"
files_root = "documents"
body = "{{title: title, scan: file(scan)}}"
{more}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with some files below `documents`, and one beside it."""
    documents = tmp_path / "documents"
    documents.mkdir()
    for name in ("a", "b", "c"):
        (documents / f"{name}.pdf").write_bytes(name.encode() * 10_000)
    (tmp_path / "secret").write_text("c4n4ry")
    return tmp_path


def configure(server: Loopback, folder: Path, more: str = "", path: str = "/200") -> str:
    config = folder / "tmux-fanout.toml"
    config.write_text(TEXT.format(url=server.url(path), more=more))
    return str(config)


def forms(server: Loopback) -> list[dict[str, tuple[str | None, str, bytes]]]:
    """Return the parts of each form by name: file name, type and content."""
    return [
        _parts(headers["Content-Type"], body)
        for headers, body in zip(server.headers, server.bodies, strict=True)
    ]


def _parts(content_type: str, body: bytes) -> dict[str, tuple[str | None, str, bytes]]:
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    assert not message.defects
    parts: dict[str, tuple[str | None, str, bytes]] = {}
    for part in message.get_payload():
        assert not isinstance(part, str)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        parts[name] = (part.get_filename(), part.get_content_type(), content)
    return parts


@pytest.mark.parametrize(
    "options", [[], ["--workers", "2"], ["--transport", "httpx"]], ids=" ".join
)
def test_records_name_files_beside_the_configuration(
    server: Loopback, folder: Path, options: list[str]
) -> None:
    """Fields and files arrive, from whatever folder the command is started."""
    path = configure(server, folder)
    records = b"".join(b'{"title": "T%b", "scan": "%b.pdf"}\n' % (n, n) for n in (b"a", b"b"))
    done = run("-c", path, *options, stdin=records)
    assert done.returncode == 0, done.stderr
    assert sorted(forms(server), key=lambda parts: parts["title"][2]) == [
        {
            "title": (None, "text/plain", b"T" + name),
            "scan": (f"{name.decode()}.pdf", "application/pdf", name * 10_000),
        }
        for name in (b"a", b"b")
    ]


def test_lines_are_names_of_files(server: Loopback, folder: Path) -> None:
    """Those of `ls` and of `find` will do, and no configuration is needed."""
    command = [
        *COMMAND,
        *("-i", "lines", "-a", f"up={server.url('/200')}", "--body-format", "multipart"),
        *("--body", "{purpose: 'ocr', document: file(@)}", "--summary", "none"),
    ]
    done = subprocess.run(
        command,
        input=b"a.pdf\n./b.pdf\n",
        cwd=folder / "documents",
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(parts["document"][2][:1] for parts in forms(server)) == [b"a", b"b"]
    assert all(parts["purpose"][2] == b"ocr" for parts in forms(server))


def test_bad_files_fail_their_own_records(server: Loopback, folder: Path) -> None:
    """Each line says what is wrong; the others are uploaded, and nothing else is read."""
    documents = folder / "documents"
    (documents / "out.pdf").symlink_to("../secret")
    (documents / "in.pdf").symlink_to("a.pdf")
    os.mkfifo(documents / "fifo")
    bad = {
        "../secret": "the path has a '..', which may lead out of files_root",
        str(folder / "secret"): "the path is absolute: files are named relative to files_root",
        "out.pdf": "a symbolic link leads out of files_root",
        "fifo": "it is a pipe, not a file",
        ".": "it is a folder",
        "nix.pdf": f"no such file in the folder '{documents}'",
        "a.pdf/b": "it cannot be read: Not a directory",
    }
    names = ["a.pdf", *bad, "in.pdf"]
    records = b"".join(json.dumps({"title": "T", "scan": n}).encode() + b"\n" for n in names)
    done = run("-c", configure(server, folder), stdin=records)
    assert done.returncode == 1
    results = lines(done.stdout)
    assert [each["ok"] for each in results] == [True, *(False for _ in bad), True]
    for (name, why), result in zip(bad.items(), results[1:]):
        error = result["results"]["claims"]["error"]
        assert error == {
            "kind": "template",
            "message": f"body: field scan: file {name!r}: {why}",
        }
        assert result["results"]["claims"]["attempts"] == 0
    assert b"; 2 requests in " in done.stderr
    assert len(server.bodies) == 2
    assert b"c4n4ry" not in b"".join(server.bodies)


@pytest.mark.parametrize(
    ("more", "status", "attempts"),
    [("retries = 2", 503, 2), ("retries = 2\nidempotency_key = true", 500, 2)],
)
def test_a_retry_sends_the_same_again(
    server: Loopback, folder: Path, more: str, status: int, attempts: int
) -> None:
    """The form is the same to its last byte, boundary included."""
    statuses = [status, 200]
    server.replies["/up"] = lambda _: (statuses.pop(0), b"{}")
    path = configure(server, folder, more, "/up")
    record = {"title": "T" * 10_000, "scan": "a.pdf"}  # large requests are otherwise built anew
    done = run("-c", path, stdin=json.dumps(record).encode())
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[0]["results"]["claims"]["attempts"] == attempts
    assert len(server.bodies) == attempts
    assert len(set(server.bodies)) == 1
    assert len({headers["Content-Type"] for headers in server.headers}) == 1


def test_a_file_that_changes_between_attempts_ends_the_call(server: Loopback, folder: Path) -> None:
    """The second attempt would be another request."""

    def refuse(_: bytes) -> tuple[int, bytes]:
        with (folder / "documents" / "a.pdf").open("ab") as file:
            file.write(b"more")
        return 503, b"{}"

    server.replies["/up"] = refuse
    path = configure(server, folder, "retries = 5", "/up")
    done = run("-c", path, stdin=b'{"title": "T", "scan": "a.pdf"}\n')
    assert done.returncode == 1
    outcome = lines(done.stdout)[0]["results"]["claims"]
    error = outcome["error"]
    assert (error["kind"], outcome["attempts"]) == ("template", 1)
    assert error["message"] == (
        "body: field scan: file 'a.pdf': it has changed since the first attempt"
    )
    assert len(server.bodies) == 1


def test_fallbacks_and_hedges_read_the_files_themselves(server: Loopback, folder: Path) -> None:
    """Each request is whole, whichever of them wins."""
    fallback = TEXT.format(url=server.url("/200"), more='fallback_of = "claims"')
    fallback = fallback.replace("api.claims", "api.other")
    path = configure(server, folder, "retries = 0\nidempotent = true\nhedge = '1ms'", "/500")
    with open(path, "a", encoding="utf-8") as file:
        file.write(fallback)
    records = b'{"title": "T", "scan": "a.pdf"}\n' * 5
    done = run("-c", path, stdin=records)
    assert done.returncode == 0, done.stderr
    assert len(forms(server)) >= 10
    assert all(parts["scan"][2] == b"a" * 10_000 for parts in forms(server))


def test_explain_and_check_show_a_form(server: Loopback, folder: Path) -> None:
    """Parts, types and sizes are shown, and nothing of what is in the files."""
    path = configure(server, folder)
    (folder / "documents" / "x y.pdf").write_text("c4n4ry")
    records = b'{"title": "@it\'s", "scan": "x y.pdf"}\n{"title": "T", "scan": "nix"}\n'
    done = run("explain", "-n", "2", "-c", path, stdin=records)
    assert done.returncode == 1
    out = done.stdout.decode()
    assert "# scan: x y.pdf, 6 bytes of application/pdf\n" in out
    assert "--form-string 'title=@it'\\''s'" in out
    assert (
        f'-F \'scan=@"{folder}/documents/x y.pdf";type=application/pdf;filename="x y.pdf"\'' in out
    )
    assert "record 1, claims: template: body: field scan: file " in out
    assert "Content-Type" not in out
    assert "c4n4ry" not in out
    assert not server.bodies
    api = tomllib.loads(run("check", "-c", path).stdout.decode())["api"]["claims"]
    assert (api["body_format"], api["files_root"]) == ("multipart", f"{folder}/documents")


def test_the_command_that_explain_prints_sends_the_same_form(
    server: Loopback, folder: Path
) -> None:
    """curl reads names, types and quotes as they are meant."""
    (folder / "documents" / 'q"\\;,.txt').write_text("x")
    more = "\n"
    path = configure(server, folder, more)
    config = (
        Path(path)
        .read_text()
        .replace("title: title", "title: title, meta: {a: title}, at: '@x;type=a/b', lt: '<x'")
    )
    Path(path).write_text(config)
    record = json.dumps({"title": 'T";x=\\"\u00fc', "scan": 'q"\\;,.txt'}).encode() + b"\n"
    explained = run("explain", "-c", path, stdin=record)
    assert explained.returncode == 0, explained.stdout
    done = subprocess.run(["sh"], input=explained.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert run("-c", path, stdin=record).returncode == 0
    by_curl, own = forms(server)
    assert by_curl.keys() == own.keys()
    for name, (_, type, content) in own.items():
        assert by_curl[name][1:] == (type, content)
    assert own["scan"][0] == "q%22\\;,.txt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("documents", "nix"), "files_root: no such folder: {folder}/nix"),
        (("files_root", "# files_root"), "files_root: missing: add the folder that records may"),
        (("multipart", "json"), 'body: file() is for forms with files: add body_format = "mult'),
        (("file(scan)", "fil(scan)"), "body: unknown function fil(): did you mean file?"),
        (('"multipart"', '"multi"'), "body_format: invalid value 'multi': use json, raw, form or"),
        (('"documents"', "1"), "files_root: invalid folder 1: use a path in quotes such as"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(
    server: Loopback, folder: Path, change: tuple[str, str], message: str
) -> None:
    """The line names the key, and says what to write instead."""
    path = Path(configure(server, folder))
    path.write_text(path.read_text().replace(*change))
    for command in ("check", "run"):
        done = run(command, "-c", str(path), stdin=b'{"title": "T", "scan": "a.pdf"}\n')
        assert done.returncode == 2
        assert message.format(folder=folder) in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert not server.bodies


def test_the_library_uploads_too(server: Loopback, folder: Path) -> None:
    """The keys are keywords, and bodies are of Python's values."""
    api = Api(
        "up",
        server.url("/200"),
        body="{n: n, doc: file({path: doc, filename: 'x.txt'})}",
        body_format="multipart",
        files_root=str(folder / "documents"),
    )
    results = list(fanout_sync([{"n": 1, "doc": "a.pdf"}, {"n": 2, "doc": "../secret"}], [api]))
    assert [result.ok for result in results] == [True, False]
    assert forms(server) == [
        {"n": (None, "text/plain", b"1"), "doc": ("x.txt", "text/plain", b"a" * 10_000)}
    ]


class _Counting(BaseHTTPRequestHandler):
    """Counts the bytes of bodies, and keeps none."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left and (data := self.rfile.read1(min(left, MIB))):
            left -= len(data)
        self.server.unread.append(left)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def counting() -> Iterator[Any]:
    """Run a server that reads uploads of any size."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Counting)
    server.unread = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("transport", ["native", "httpx"])
def test_memory_stays_flat_however_large_the_files_are(folder: Path, transport: str) -> None:
    """Four files of 200 MiB at a time take no more memory than four of 1 KiB."""
    documents = folder / "documents"
    for name, size in (("small", 1024), ("large", 200 * MIB)):
        (documents / name).touch()
        os.truncate(documents / name, size)
    peaks = {}
    with counting() as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        for name in ("small", "large"):
            command = ["-i", "lines", "-a", f"up={url}", "--body-format", "multipart"]
            more = ["--body", "{f: file(@)}", "--transport", transport, "--attempt-timeout", "10m"]
            with start(*command, *more, "--timeout", "10m", cwd=documents) as process:
                assert process.stdin
                process.stdin.write(f"{name}\n".encode() * 4)
                process.stdin.close()
                assert process.stdout
                assert [line["ok"] for line in lines(process.stdout.read())] == [True] * 4
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            peaks[name] = usage.ru_maxrss * 1024
    assert server.unread == [0] * 8
    assert peaks["large"] < peaks["small"] + 24 * MIB, peaks


def test_folders_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    """So it is in included files, defaults and profiles, and `~` is the home folder."""
    for name in ("shared/scans", "own", "home/kept"):
        (folder / name).mkdir(parents=True)
    url = 'url = "http://a.test/"\n'
    form = 'body_format = "multipart"\nbody = "{f: file(@)}"\n'
    (folder / "shared" / "common.toml").write_text(f'[defaults]\nfiles_root = "scans"\n{form}')
    main = folder / "main.toml"
    main.write_text(
        f'include = ["shared/common.toml"]\n[api.a]\n{url}[api.b]\n{url}files_root = "own"\n'
        f'[profile.p.api.a]\nfiles_root = "~/kept"\n'
    )
    env = {**environment(), "HOME": str(folder / "home")}
    roots = []
    for options in ([], ["--profile", "p"]):
        done = run("check", "-c", str(main), *options, env=env)
        assert done.returncode == 0, done.stderr
        apis = tomllib.loads(done.stdout.decode())["api"]
        roots += [apis[name]["files_root"] for name in ("a", "b")]
    assert roots == [
        *(f"{folder}/shared/scans", f"{folder}/own"),
        *(f"{folder}/home/kept", f"{folder}/own"),
    ]


def test_an_added_api_has_the_folder_of_the_file_if_that_names_one(folder: Path) -> None:
    """Without one, files are looked for in the current folder."""
    config = folder / "c.toml"
    config.write_text('[defaults]\nfiles_root = "documents"\n')
    form = ["-a", "a=http://a.test/", "--body-format", "multipart", "--body", "{f: file(@)}"]
    shown = [
        tomllib.loads(run("check", *form, *more).stdout.decode())["api"]["a"]["files_root"]
        for more in ([], ["-c", str(config)])
    ]
    assert shown == [".", f"{folder}/documents"]


def test_rows_name_files_and_hosts(server: Loopback, folder: Path) -> None:
    """Tables are records like others, and so are those that say where to send to."""
    rows = f"url,title,scan\n{server.url('/200')},T,a.pdf\n{server.url('/200')},U,../secret\n"
    host = server.url().split("/")[2]
    path = configure(server, folder, f'hosts = ["{host}"]')
    config = Path(path).read_text().replace(server.url("/200"), "{+url}")
    Path(path).write_text(config)
    done = run("-i", "csv", "-c", path, stdin=rows.encode())
    assert done.returncode == 1, done.stderr
    assert [line["ok"] for line in lines(done.stdout)] == [True, False]
    assert [parts["title"][2] for parts in forms(server)] == [b"T"]
