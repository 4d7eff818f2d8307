"""Dead letters give the same records when they are read again, whatever they contain."""

from __future__ import annotations

import gzip
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tmux_fanout.core.records.decompression import Decompressor
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.encoding import Transcoder
from tmux_fanout.core.records.parser import InputFormat, Record, RecordParser, framer_for
from tmux_fanout.core.results.dead_letters import DeadLetters

BOM = b"\xef\xbb\xbf"
ALPHABET = [*(b"a", b"1", b'"', b",", b"\t", b" ", b"\r", b"{}", b"\xff", BOM, b"\0", b"\x1f\x8b")]
LINES = st.lists(st.sampled_from([*ALPHABET, b"\xc3\xbc"]), max_size=6).map(b"".join)


class Always(Random):
    """Chooses all."""

    def random(self) -> float:
        return 0.0


ALL = Always()


def read(data: bytes, form: InputFormat, max_line: int = 1000) -> tuple[list[Record], bytes]:
    """Return the records of an input as a run reads them, and its header row."""
    decompressor = Decompressor()
    decompressor.feed(data)
    text = b"" if decompressor.needs_input else decompressor.take()
    framer, parser = framer_for(form, max_line), RecordParser(form, max_line)
    transcoder = Transcoder()
    text = transcoder.feed(text + decompressor.finish()) + transcoder.finish()
    lines = framer.feed(text) + framer.finish()
    return parser.parse(lines), parser.header


def letters_of(records: list[Record], form: InputFormat, header: bytes = b"") -> bytes:
    letters = DeadLetters(form, lambda: header)
    written = b"".join(map(letters.add, records)) + letters.last()
    assert letters.left_out == []
    return written


@given(st.lists(LINES), st.sampled_from(["jsonl", "lines"]), st.randoms(use_true_random=False))
@example([b"x", BOM + b"{}"], "jsonl", ALL)
@example([b"x", b"\x1f\x8b\x08"], "lines", ALL)
@example([b"x", b"BZh91AY&SY"], "lines", ALL)
@example([b"x", b"a\r\r"], "lines", ALL)
@example([b"x", b"\xff\xfe"], "lines", ALL)
def test_letters_are_the_records_again(
    lines: list[bytes], form: InputFormat, random: Random
) -> None:
    """Any choice of records, of any bytes, comes back unchanged."""
    records, _ = read(b"y\n" + b"\n".join(lines), form)
    chosen = [r for r in records if random.random() < 0.5]
    again, _ = read(letters_of(chosen, form), form)
    assert [r.raw for r in again] == [r.raw for r in chosen]
    assert [r.json for r in again] == [r.json for r in chosen]


@given(st.lists(LINES), st.sampled_from(["csv", "tsv"]), st.randoms(use_true_random=False))
@example([b'1,"x\r\ny"', b"\xff,1", b'2,"'], "csv", ALL)
def test_letters_of_a_table_have_its_header(
    rows: list[bytes], form: InputFormat, random: Random
) -> None:
    """Rows come back as the same objects, those with a stray quote last."""
    header = b"a\tb" if form == "tsv" else b'a,"b"'
    records, found = read(header + b"\r\n" + b"\n".join(rows), form)
    assert found == header
    chosen = [r for r in records if random.random() < 0.5]
    letters = DeadLetters(form, lambda: header)
    data = b"".join(map(letters.add, chosen)) + letters.last()
    kept = [record for record in chosen if record.index not in letters.left_out]
    again, _ = read(data, form)
    assert sorted((r.raw, r.json) for r in again) == sorted((r.raw, r.json) for r in kept)
    assert data.startswith(header + b"\n") == bool(kept)


def test_letters_are_byte_for_byte() -> None:
    """Nothing but the kind of line breaks changes."""
    records, _ = read(b'{"a": 1.00 }\r\n\r\n [1,\n\xff"', "jsonl")
    assert letters_of(records, "jsonl") == b'{"a": 1.00 }\n [1,\n\xff"\n'


def test_letters_of_nothing_are_nothing() -> None:
    """If all records are ok, the file stays empty, without a header."""
    assert letters_of([], "csv", b"a,b") == b""


def test_letters_whose_quotes_do_not_end_come_last() -> None:
    """They come after all others, and lines that were too long are left out."""
    rows, header = read(b'a,b\n1,2\n3,"4\n5,"6"\n7,"8\n"8",y\n9,"\n', "csv")
    assert [row.raw for row in rows] == [b"1,2", b'3,"4', b'5,"6"', b'7,"8', b'"8",y', b'9,"']
    long = read(b"a\n" + b"x" * 1001, "csv")[0]
    letters = DeadLetters("csv", lambda: header)
    written = [letters.add(row) for row in (rows[1], rows[0], *rows[2:], *long)]
    assert written == [b"", b"a,b\n1,2\n", b'5,"6"\n', b"", b'"8",y\n', b"", b""]
    last = letters.last()
    assert last == b'3,"4\n7,"8\n'
    assert letters.left_out == [rows[5].index, long[0].index]
    again, _ = read(b"".join([*written, last]), "csv")
    assert [row.raw for row in again] == [b"1,2", b'5,"6"', b'"8",y', b'3,"4', b'7,"8']


def test_letters_have_the_dialect_of_their_input() -> None:
    """A `sep=` line comes with the header, and an option is needed again."""
    rows, header = read(b'sep=;\na;b\n1;"2\n3;"4"\n', "csv")
    assert letters_of(rows, "csv", header) == b'sep=;\na;b\n3;"4"\n1;"2\n'


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_parser_with_one_header_refuses_other_columns(form: InputFormat) -> None:
    """Headers that differ in spelling but not in meaning are equal."""
    parser = RecordParser(form, 1000, DialectOptions(quote="minimal"), one_header=True)
    for name, header, fits in [("x", b"a", True), ("y", b'"a"', True), ("z", b"b", False)]:
        parser.start_source(name)
        if fits:
            assert [record.json for record in parser.parse([header, b"1"])] == [b'{"a":"1"}']
        else:
            with pytest.raises(ValueError, match=r"line 1: the columns differ from those of"):
                parser.parse([header])
    assert parser.header == b"a"


def test_letters_of_compressed_input_are_not_compressed() -> None:
    """Letters of compressed input are not compressed."""
    data = gzip.compress(b"x\ny\n")
    decompressor = Decompressor()
    decompressor.feed(data)
    assert decompressor.take() == b"x\ny\n"
    assert letters_of(read(b"x\ny\n", "lines")[0], "lines") == b"x\ny\n"
