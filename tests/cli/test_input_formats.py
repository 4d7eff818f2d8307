"""Every input format and compression, through the command as a process."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zlib
from pathlib import Path

import pytest
from support.command import environment, lines, run, start
from support.loopback import Loopback

PEOPLE = b'id,name,note\r\n1,"Doe, J.","two\r\nlines"\r\n2,"5"" disk",0.10\r\n'
AS_RECORDS = [
    {"id": "1", "name": "Doe, J.", "note": "two\r\nlines"},
    {"id": "2", "name": '5" disk', "note": "0.10"},
]


def test_csv_from_standard_input(server: Loopback) -> None:
    """A CSV row becomes an object of strings in the header's order, for the API and the output."""
    done = run("-a", f"x={server.url()}", "-i", "csv", "-l", "1", stdin=PEOPLE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == AS_RECORDS
    assert [json.loads(body) for body in server.bodies] == AS_RECORDS
    assert server.bodies[0].startswith(b'{"id":"1","name":')


def test_malformed_csv_rows_fail_by_themselves(server: Loopback) -> None:
    """A malformed row is one invalid record with its line number and text; others are sent."""
    rows = b'a,b\n1\n2,"3"\n4,"5\n6,"7"\n8,"9"x\n10,11\n'
    done = run("-a", f"x={server.url()}", "-i", "csv", stdin=rows)
    assert done.returncode == 1
    results = lines(done.stdout)
    assert results[0]["error"] == {
        "kind": "invalid_record",
        "message": "line 2: 1 field, but the header names 2",
    }
    assert results[2]["error"]["message"] == "line 4: not CSV: a quoted field does not end"
    assert [line.get("raw") for line in results] == ["1", None, '4,"5', None, '8,"9"x', None]
    assert [line["record"] for line in results if line["ok"]] == [
        {"a": "2", "b": "3"},
        {"a": "6", "b": "7"},
        {"a": "10", "b": "11"},
    ]


def test_header_that_cannot_be_used_sends_nothing(server: Loopback, tmp_path: Path) -> None:
    """It is one clear error before any request, whichever of several files has it."""
    good, table = tmp_path / "good.csv", tmp_path / "table.csv"
    good.write_bytes(b"id\n1\n")
    for header, reason in (
        (b"id,name,id", "line 1: columns 1 and 3 are both called 'id'; rename one"),
        (b"id;name", "line 1: there is only one column, 'id;name'; use --delimiter ';' if semi"),
    ):
        table.write_bytes(header + b"\n1,2,3\n")
        done = run("-a", f"x={server.url()}", "-q", str(good), str(table))
        assert (done.returncode, done.stdout, server.bodies) == (2, b"", [])
        assert done.stderr.decode().startswith(f"tmux-fanout: cannot read {table}: {reason}")
        done = run("-a", f"x={server.url()}", "-i", "csv", stdin=table.read_bytes())
        assert (done.returncode, done.stdout, server.bodies) == (1, b"", [])
        (told,) = done.stderr.decode().splitlines()
        assert told.startswith(f"tmux-fanout: cannot read standard input: {reason}")


@pytest.mark.parametrize(
    ("data", "args"),
    [
        (b"id;name\n1;x,y\n", ["--delimiter", ";"]),
        (b"sep=;\r\nid;name\r\n1;x,y\r\n", []),
        ('\ufeffid,name\n1,"x,y"\n'.encode("utf-16-le"), []),
        ("\ufeffsep=|\nid|name\n1|x,y".encode("utf-16-be"), []),
        (b"id\tname\n1\tx,y\n", ["--delimiter", r"\t"]),
    ],
)
def test_csv_as_people_have_it(
    server: Loopback, tmp_path: Path, data: bytes, args: list[str]
) -> None:
    """Semicolons, `sep=` lines and UTF-16 give the same records; `verify` and `explain` agree."""
    table, out = tmp_path / "table.csv", tmp_path / "out.jsonl"
    table.write_bytes(data)
    done = run("-a", f"x={server.url()}", "-o", str(out), *args, str(table))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(out.read_bytes())] == [{"id": "1", "name": "x,y"}]
    done = run("verify", *args, str(table), str(out))
    assert (done.returncode, done.stderr) == (0, b"")
    done = run("explain", "-a", f"x={server.url()}", *args, str(table))
    assert '{"id":"1","name":"x,y"}' in done.stdout.decode()
    done = run("-a", f"x={server.url()}", "-q", "-o", str(out), "--resume", *args, str(table))
    assert (done.returncode, done.stderr) == (0, b"")


def test_quotes_of_tsv_are_text(server: Loopback) -> None:
    """Unless the options say otherwise, which a configuration file may, too."""
    data = b'a\tb\n"1\t"\t2\n5" disk\t"3\n'
    done = run("-a", f"x={server.url()}", "-i", "tsv", "-e", "merge", "-q", stdin=data)
    short, disk = lines(done.stdout)
    assert short["_errors"]["record"]["message"] == "line 2: 3 fields, but the header names 2"
    assert (disk["a"], disk["b"]) == ('5" disk', '"3')
    done = run("-a", f"x={server.url()}", "-i", "tsv", "--quote", "minimal", "-q", stdin=data)
    assert lines(done.stdout)[0]["record"] == {"a": "1\t", "b": "2"}


def test_dialect_in_a_configuration_file(server: Loopback, tmp_path: Path) -> None:
    """Both options have keys, `check` shows them, and a flag wins."""
    config = tmp_path / "c.toml"
    config.write_text(
        f'[run]\ninput_format = "csv"\ndelimiter = "\\t"\nquote = "none"\n'
        f'[api.x]\nurl = "{server.url()}"\n'
    )
    done = run("check", "-c", str(config))
    assert r'delimiter = "\t"' in done.stdout.decode()
    assert 'quote = "none"' in done.stdout.decode()
    done = run("-c", str(config), stdin=b'a\tb\n"1\t2\n')
    assert lines(done.stdout)[0]["record"] == {"a": '"1', "b": "2"}
    done = run("-c", str(config), "--delimiter", ";", stdin=b"a;b\n1;2\n")
    assert lines(done.stdout)[0]["record"] == {"a": "1", "b": "2"}


def test_names_with_blanks_are_fields_of_templates(server: Loopback, tmp_path: Path) -> None:
    """In the URL, in headers and in expressions, from the command line and from a file."""
    config = tmp_path / "c.toml"
    url = server.url("/{First Name}{?Straße 1}")
    config.write_text(
        f"[api.x]\nurl = '{url}'\nheaders = {{ X-Name = 'for {{First Name}}' }}\n"
        """body = '"First Name"'\n"""
    )
    table = "First Name,Straße 1\nAnn,B 2\n".encode()
    given = ("-a", f"x={url}", "-H", "X-Name: for {First Name}", "--body", '"First Name"')
    for args in (("-c", str(config)), given):
        done = run(*args, "-q", "-i", "csv", stdin=table)
        assert (done.returncode, done.stderr) == (0, b"")
        assert server.paths[-1] == "/Ann?Stra%C3%9Fe%201=B%202"
        assert server.headers[-1]["X-Name"] == "for Ann"
        assert server.bodies[-1] == b'"Ann"'
        done = run("explain", *args, "-i", "csv", stdin=table)
        assert b"/Ann?Stra%C3%9Fe%201=B%202" in done.stdout
        done = run("check", *args)
        assert "/{First Name}{?Straße 1}" in done.stdout.decode()
    done = run(*given, "-i", "csv", "-e", "merge", "-q", stdin=b"a\n1\n")
    (line,) = lines(done.stdout)
    assert "First Name" in line["_errors"]["x"]["message"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--delimiter", ";"], "--delimiter is for csv and tsv: add -i csv, or -i tsv"),
        (["--quote", "none", "-i", "lines"], "--quote is for csv and tsv: add -i csv, or -i tsv"),
        (["--delimiter", "||", "-i", "csv"], "use one ASCII character such as ';' or '|', or tab"),
    ],
)
def test_dialect_without_a_table_is_an_error(server: Loopback, args: list[str], why: str) -> None:
    """Nothing is sent, and one line says what to write."""
    for command in (["run"], ["check"], ["explain"]):
        done = run(*command, "-a", f"x={server.url()}", *args, stdin=b"a;b\n1;2\n")
        assert (done.returncode, server.bodies) == (2, [])
        assert why in done.stderr.decode()


def test_compressed_csv_file_is_known_by_its_name(server: Loopback, tmp_path: Path) -> None:
    """data.csv.gz is CSV by its name, and decompressed because of its content."""
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(PEOPLE))
    done = run("-a", f"x={server.url()}", str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == AS_RECORDS


def test_files_of_several_formats_are_one_stream(server: Loopback, tmp_path: Path) -> None:
    """Each file is read by its extension, with standard input among them; -i applies to all."""
    table, text, array = tmp_path / "a.csv", tmp_path / "b.tsv.xz", tmp_path / "c"
    table.write_bytes(b"id\n1\n")
    text.write_bytes(lzma.compress(b"id\tx\n2\t\n"))
    array.write_bytes(bz2.compress(b"[3]"))
    files = [str(table), "-", str(text), str(array)]
    done = run("-a", f"x={server.url()}", *files, stdin=gzip.compress(b"0\n"))
    assert (done.returncode, done.stderr) == (0, b"")
    records = [line["record"] for line in lines(done.stdout)]
    assert records == [{"id": "1"}, 0, {"id": "2", "x": ""}, [3]]
    done = run("-a", f"x={server.url()}", "-i", "lines", *files, stdin=b"0\n")
    assert [line["record"] for line in lines(done.stdout)] == [
        "id",
        "1",
        "0",
        "id\tx",
        "2\t",
        "[3]",
    ]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compression_of_standard_input_is_detected(server: Loopback, compress: object) -> None:
    """Compressed standard input is detected, and concatenated streams are read as one."""
    assert callable(compress)
    done = run("-a", f"x={server.url()}", stdin=compress(b"1\n2") + compress(b"3\n4"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == [1, 23, 4]


def test_zstd_is_read_if_zstandard_is_installed(server: Loopback) -> None:
    """Zstandard is decompressed if the library of the extra `zstd` is installed."""
    zstandard = pytest.importorskip("zstandard")
    done = run("-a", f"x={server.url()}", stdin=zstandard.compress(b"1\n2\n"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == [1, 2]


def test_zstd_without_zstandard_names_the_extra(tmp_path: Path) -> None:
    """Without the library, one line names the extra to install."""
    (tmp_path / "zstandard.py").write_text("raise ImportError")
    done = run(
        *("-a", "x=http://127.0.0.1:1/", "-q"),
        stdin=b"\x28\xb5\x2f\xfd\x04\x00\x11\x00\x001\n",
        env=environment(PYTHONPATH=str(tmp_path)),
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (
        b"tmux-fanout: cannot read standard input: it is compressed with zstd; "
        b"pip install 'tmux-fanout[zstd]'\n"
    )


def test_compressed_records_are_written_as_they_arrive(server: Loopback) -> None:
    """A record's line is written once its compressed bytes are flushed, with the input open."""
    compressor = zlib.compressobj(wbits=31)
    with start("-a", f"x={server.url()}") as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(
                compressor.compress(b"%d\n" % number) + compressor.flush(zlib.Z_SYNC_FLUSH)
            )
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["record"] == number
        process.stdin.write(compressor.flush())
        process.stdin.close()
        assert process.wait() == 0


def test_truncated_file_gives_the_records_before(server: Loopback, tmp_path: Path) -> None:
    """Records before the truncation have lines, and one error names the file."""
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"id": %d}\n' % n for n in range(500)))[:-100])
    done = run("-a", f"x={server.url()}", "-q", str(path))
    assert done.returncode == 1
    ids = [line["record"]["id"] for line in lines(done.stdout)]
    assert ids == list(range(len(ids)))
    assert 100 < len(ids) < 500
    assert done.stderr.decode() == f"tmux-fanout: cannot read {path}: the gzip data is cut short\n"
