"""Forms with files: which parts they have, and what is sent around the files."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.uploads.form import Field, File, Upload, guess_type

RECORD = {
    "path": "a/b.pdf",
    "title": "Caf\u00e9",
    "n": 1.5,
    "yes": True,
    "none": None,
    "tags": ["x", 2],
    "meta": {"a": [1]},
    "files": ["1.png", "2.txt"],
    "named": {"path": "x.bin", "type": "text/csv; charset=utf-8", "filename": "t.csv"},
    "forged": {"path": "secret"},
    "half": "\ud800",
}


def build(body: str | None, record: Any = RECORD, **keys: Any) -> Any:
    """Return the body of the request for a record, or the message of its error."""
    settings = {"body": body, "body_format": "multipart", "files_root": "/root", **keys}
    api = Api("a", "https://a.test/", **settings)
    line = json.dumps(record).encode()
    request = plan_run([api], RunSettings(), {}).apis[0].requests.build(Record(0, line, line))
    if isinstance(request, ErrorInfo):
        assert request.kind == "template"
        return request.message
    assert isinstance(request, Request)
    return request.body


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("{t: title, n: n, yes: yes}", [("t", "Caf\u00e9"), ("n", "1.5"), ("yes", "true")]),
        ("{t: tags, none: none}", [("t", "x"), ("t", "2")]),
        ("{meta: meta, list: [meta]}", [("meta", '{"a":[1]}'), ("list", '{"a":[1]}')]),
        ("{f: file(path)}", [("f", "a/b.pdf", "application/pdf", "b.pdf")]),
        ("{f: file('./a//b.pdf')}", [("f", "./a//b.pdf", "application/pdf", "b.pdf")]),
        ("{f: file(named)}", [("f", "x.bin", "text/csv; charset=utf-8", "t.csv")]),
        (
            "{f: files[*].file(@)}",
            [("f", "1.png", "image/png", "1.png"), ("f", "2.txt", "text/plain", "2.txt")],
        ),
        ("{f: map(&file(@), [path])}", [("f", "a/b.pdf", "application/pdf", "b.pdf")]),
        ("{f: file(not_null(missing)), g: title}", [("g", "Caf\u00e9")]),
        ("{f: file({path: path, type: none})}", [("f", "a/b.pdf", "application/pdf", "b.pdf")]),
        ("merge({t: none}, `{}`)", []),
    ],
    ids=str,
)
def test_each_member_is_a_part(body: str, parts: list[tuple[str, ...]]) -> None:
    """Values are fields, lists repeat a name, objects are JSON, null is nothing."""
    upload = build(body)
    assert isinstance(upload, Upload), upload
    found = [
        (part.name, part.path, part.type, part.filename)
        if isinstance(part, File)
        else (part.name, part.content.decode())
        for part in upload.parts
    ]
    assert found == parts
    assert upload.root == "/root"


def test_a_record_alone_has_no_files() -> None:
    """Without `body`, whatever a record has in it is a field."""
    upload = build(None, {"forged": {"path": "x"}, "file": "file(path)"})
    assert [part.content for part in upload.parts] == [b'{"path":"x"}', b"file(path)"]
    assert not upload.files


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "the path is absolute: files are named relative to files_root"),
        ("../x", "the path has a '..', which may lead out of files_root"),
        ("a/../b", "the path has a '..', which may lead out of files_root"),
        ("..", "the path has a '..', which may lead out of files_root"),
        ("", "the path is empty"),
        (".", "it is a folder"),
        ("./", "it is a folder"),
        ("a/", "it is a folder"),
        ("a/.", "it is a folder"),
        ("a\0b", "no path has a NUL character"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str, why: str) -> None:
    """The message names the field and the file."""
    body, start = "{doc: file(path)}", f"body: field doc: file {path!r}: "
    assert build(body, {"path": path}) == start + why
    why = why.replace("files_root", "the current folder")  # as there is no such key beside -a
    assert build(body, {"path": path}, files_root=".") == start + why


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("path", "body_format multipart: the body is not an object: use one such as"),
        ("file(path)", "body_format multipart: the body is not an object"),
        ("{f: file(nix)}", "the record has no field nix"),
        ("{f: file(n)}", "body: "),
        ("{f: file({type: 'a/b'})}", "body: file(): no path: use file(path) or file({path: path"),
        ("{f: file({path: n})}", "body: file(): path is a number, not text"),
        ("{f: file({path: path, typ: 'a/b'})}", "body: file(): unknown key 'typ': did you mean"),
        ("{f: file({path: path, type: 'pdf'})}", "body: field f: file 'a/b.pdf': invalid type"),
        ("{f: file({path: path, type: 'a/b\\r\\nX: y'})}", "body: field f: file 'a/b.pdf': inval"),
        ("{f: {g: file(path)}}", "body: field f: file() within an object or list: put it at the"),
        ("{f: [[file(path)]]}", "body: field f: file() within an object or list: put it at the"),
        ("{f: to_json(file(path))}", "body: "),
        ("{f: half}", "'\\ud800' is half a character, which cannot be sent"),
        ("{f: file({path: path, filename: half})}", "'\\ud800' is half a character"),
    ],
    ids=str,
)
def test_what_no_form_can_have_is_an_error(body: str, message: str) -> None:
    """Only that record's call fails."""
    found = build(body)
    assert isinstance(found, str), found
    assert message in found
    assert found.isprintable()


@pytest.mark.parametrize(
    "part",
    [
        *("file(path).path", "file(path)[0]", "file(path)[*]", "file(path).*", "file(path)[]"),
        *("file(file(path))", "type(file(path))", "length(file(path))", "keys(file(path))"),
        *("to_string(file(path))", "to_array(file(path))", "to_number(file(path))"),
        *("sort([file(path)])", "max([file(path)])", "sum([file(path)])", "join('', [file(path)])"),
        *("contains([file(path)], 'x')", "reverse([file(path)])", "sort_by([file(path)], &path)"),
        *("file(path) == file(path)", "file(path) > `1`", "!file(path)", "file(path) && title"),
        *("[file(path)][?@ == 'x']", "not_null(file(path))", "from_json(file(path))"),
        *("merge(file(path), {a: title})", "{a: file(path)} | values(@)", "to_json([file(path)])"),
    ],
)
def test_whatever_is_done_with_a_file_is_no_bug(part: str) -> None:
    """It is sent, or the message says what does not fit."""
    found = build(f"{{f: {part}}}")
    assert isinstance(found, Upload) or found.startswith(("body: ", "the record has no"))


def test_a_line_that_is_no_object_gets_the_body_to_write() -> None:
    """Names of files, one on each line, are the commonest input."""
    assert build(None, "a.pdf").endswith("not an object: use one such as {file: file(@)}")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"body": "{f: file(p)}", "body_format": "json"},
            "API 'a': body: file() is for forms with files: add body_format = \"multipart\"",
        ),
        (
            {"when": "file(p)"},
            "API 'a': when: file() is for forms with files: use it in body, with body_format = "
            '"multipart"',
        ),
        (
            {"body": "{f: file(p)}", "files_root": None},
            "API 'a': files_root: missing: add the folder that records may name files in",
        ),
        (
            {"files_root": ""},
            "API 'a': files_root: invalid folder '': use a path in quotes such as",
        ),
        (
            {"files_root": "s3://u:p@b/x"},
            "API 'a': files_root: invalid folder (a URL): use a path in quotes",
        ),
        ({"files_root": 1}, "API 'a': files_root: invalid folder 1: use a path in quotes such as"),
        (
            {"headers": {"content-type": "multipart/form-data"}},
            "API 'a': headers.Content-Type: a form with files has its own, with a boundary",
        ),
        *(
            ({key: value}, f"API 'a': {key}: compares bodies, and the files of a form are not read")
            for key, value in {"share": True, "cache": {"dir": "d", "ttl": "1h"}}.items()
        ),
        ({"batch": {"size": 2}}, "API 'a': batch: requests without a JSON body"),
        ({"json": {"a": 1}}, "API 'a': body_format: json has a format of its own"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(
    keys: dict[str, Any], message: str
) -> None:
    """The message says what to write instead."""
    settings = {"body_format": "multipart", "files_root": "x", **keys}
    with pytest.raises(ConfigError) as caught:
        plan_run([Api("a", "https://a.test/", **settings)], RunSettings(), {})
    assert message in str(caught.value)


def test_names_are_written_as_browsers_do() -> None:
    """Quotes, CR and LF are percent-encoded, and all else is UTF-8 (WHATWG HTML)."""
    parts: list[Field | File] = [
        Field('a"b\r\n', b"1"),
        File('\u00fc"', "x", ("x",), "text/plain", 'c:\\"q"\r\n;\u20ac%22'),
    ]
    upload = Upload(parts, "")
    upload.boundary = "B"
    before, file, after = upload.pieces()
    assert before == (
        b'--B\r\nContent-Disposition: form-data; name="a%22b%0D%0A"\r\n\r\n1\r\n'
        b'--B\r\nContent-Disposition: form-data; name="\xc3\xbc%22"; '
        b'filename="c:\\%22q%22%0D%0A;\xe2\x82\xac%22"\r\nContent-Type: text/plain\r\n\r\n'
    )
    assert file == parts[1]
    assert after == b"\r\n--B--\r\n"


def test_a_form_without_parts_is_its_end() -> None:
    """There is no part that a server could take for a field."""
    upload = Upload([], "")
    upload.boundary = "B"
    assert upload.pieces() == [b"--B--\r\n"]
    assert upload.content_type == "multipart/form-data; boundary=B"


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00\x0b\x0c\x1c\x1d\x1e\x85"))


@given(st.lists(st.tuples(names, st.binary(), st.booleans())))
def test_whatever_the_parts_are_a_parser_finds_them(parts: list[tuple[str, bytes, bool]]) -> None:
    """No name and no content is taken for a delimiter or a header."""
    boundary = "--------0123456789abcdef0123456789abcdef"
    upload = Upload(
        [
            File(name, "p", ("p",), "a/b", "n") if is_file else Field(name, content)
            for name, content, is_file in parts
        ],
        "",
    )
    upload.boundary = boundary
    contents = iter([content for _, content, is_file in parts if is_file])
    body = b"".join(
        piece if isinstance(piece, bytes) else next(contents) for piece in upload.pieces()
    )
    assert body.count(boundary.encode()) == len(parts) + 1
    found = body.split(f"--{boundary}".encode())[1:-1]
    for part, (name, content, _) in zip(found, parts, strict=True):
        head, _, rest = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert rest == content + b"\r\n"
        shown = name.translate({34: "%22", 13: "%0D", 10: "%0A"})
        assert head.startswith(f'Content-Disposition: form-data; name="{shown}"'.encode())


def test_pythons_own_parser_reads_the_form() -> None:
    """An independent reading of RFC 2046 finds names, file names, types and contents."""
    upload = build("{t: title, meta: meta, f: file(path)}")
    upload.boundary = "----x"
    content = b"\r\n--\x00\xff----\r\n"
    body = b"".join(piece if isinstance(piece, bytes) else content for piece in upload.pieces())
    head = f"Content-Type: {upload.content_type}\r\n\r\n".encode()
    message = message_from_bytes(head + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert [_read(part) for part in parts] == [
        ("t", None, "text/plain", "Caf\u00e9".encode()),
        ("meta", None, "application/json", b'{"a":[1]}'),
        ("f", "b.pdf", "application/pdf", content),
    ]


def _read(part: Any) -> tuple[Any, ...]:
    assert isinstance(part, Message)
    name = part.get_param("name", header="content-disposition")
    return name, part.get_filename(), part.get_content_type(), part.get_payload(decode=True)


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("a.pdf", "application/pdf"),
        ("a.PNG", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.txt", "text/plain"),
        ("a.wav", "audio/wav"),
        ("a.mp3", "audio/mpeg"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.jsonl", "application/jsonl"),
        ("a.tar.gz", "application/gzip"),
        ("a", "application/octet-stream"),
        ("a.nix", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
    ],
)
def test_types_go_by_the_ending_of_a_name(name: str, type: str) -> None:
    """They do not depend on the machine or the version of Python."""
    assert guess_type(name) == type


def test_costs_are_of_the_fields() -> None:
    """The text of files is not known."""
    upload = build("{t: tags, f: file(path), n: n}")
    assert upload.fields == {"t": "x\n2", "n": "1.5"}
    assert upload.text_size == 5
