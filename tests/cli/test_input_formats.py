"""Input of every format and compression, through the command as a process."""

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
    """A row is an object of strings, for the API and in the output, in the header's order."""
    done = run("-a", f"x={server.url()}", "-i", "csv", "-l", "1", stdin=PEOPLE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == AS_RECORDS
    assert [json.loads(body) for body in server.bodies] == AS_RECORDS
    assert server.bodies[0].startswith(b'{"id":"1","name":')


def test_csv_rows_that_do_not_fit_cost_their_own_line(server: Loopback) -> None:
    """Each is one invalid record that names the line and shows the row as it was."""
    rows = b'a\tb\n1\n2\t3\n4\t"5\n'
    done = run("-a", f"x={server.url()}", "-i", "tsv", stdin=rows)
    assert done.returncode == 1
    short, good, unended = lines(done.stdout)
    assert short["error"] == {
        "kind": "invalid_record",
        "message": "line 2: 1 field, but the header names 2",
    }
    assert short["raw"] == "1"
    assert good["record"] == {"a": "2", "b": "3"}
    assert unended["error"]["message"] == "line 4: not TSV: a quoted field does not end"
    assert unended["raw"] == '4\t"5\n'


def test_header_with_two_of_a_name_sends_nothing(server: Loopback, tmp_path: Path) -> None:
    """A header that cannot be used is one clear error, before any request."""
    table = tmp_path / "table.csv"
    table.write_bytes(b"id,name,id\n1,2,3\n")
    done = run("-a", f"x={server.url()}", "-q", str(table))
    assert (done.returncode, done.stdout, server.bodies) == (1, b"", [])
    why = "line 1: two columns are called 'id'; rename one"
    assert done.stderr.decode() == f"tmux-fanout: cannot read {table}: {why}\n"


def test_compressed_csv_file_is_known_by_its_name(server: Loopback, tmp_path: Path) -> None:
    """data.csv.gz is CSV by its name, and decompressed because of its content."""
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(PEOPLE))
    done = run("-a", f"x={server.url()}", str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == AS_RECORDS


def test_files_of_several_formats_are_one_stream(server: Loopback, tmp_path: Path) -> None:
    """Each file by its own extension, standard input between them; -i holds for all."""
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
def test_compression_of_standard_input_is_seen(server: Loopback, compress: object) -> None:
    """Two compressed streams in a row come out as one."""
    assert callable(compress)
    done = run("-a", f"x={server.url()}", stdin=compress(b"1\n2") + compress(b"3\n4"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == [1, 23, 4]


def test_zstd_is_read_where_zstandard_is_installed(server: Loopback) -> None:
    """The extra `zstd` brings the library."""
    zstandard = pytest.importorskip("zstandard")
    done = run("-a", f"x={server.url()}", stdin=zstandard.compress(b"1\n2\n"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["record"] for line in lines(done.stdout)] == [1, 2]


def test_zstd_without_zstandard_says_what_to_install(tmp_path: Path) -> None:
    """Without zstandard, one line says what to install."""
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


def test_compressed_trickle_comes_through(server: Loopback) -> None:
    """A record's line is there once its compressed bytes are flushed, with the input left open."""
    maker = zlib.compressobj(wbits=31)
    with start("-a", f"x={server.url()}") as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(maker.compress(b"%d\n" % number) + maker.flush(zlib.Z_SYNC_FLUSH))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["record"] == number
        process.stdin.write(maker.flush())
        process.stdin.close()
        assert process.wait(20) == 0


def test_file_cut_in_the_middle_gives_what_came_before(server: Loopback, tmp_path: Path) -> None:
    """The records before the cut have their lines, then one error names the file."""
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"id": %d}\n' % n for n in range(500)))[:-100])
    done = run("-a", f"x={server.url()}", "-q", str(path))
    assert done.returncode == 1
    ids = [line["record"]["id"] for line in lines(done.stdout)]
    assert ids == list(range(len(ids)))
    assert 100 < len(ids) < 500
    assert done.stderr.decode() == f"tmux-fanout: cannot read {path}: the gzip data is cut short\n"
