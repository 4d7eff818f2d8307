"""JSON as bytes: what counts as JSON, and how values are kept."""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import nasty

from tmux_fanout.core.json_text import (
    MAX_LEVELS,
    NotJSON,
    check_json,
    check_record,
    decode_json,
    decode_spelled,
    encode_json,
    encode_text,
    harmless,
    split_list,
    split_object,
)

BIDIRECTIONAL_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
EDGES = '\0\x1b\x7f\x85\x9b\u2028\u202e\u2067\ufeff\U0001f600"\\/\t\r\n'

texts = st.text(st.sampled_from(EDGES) | st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
layouts = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])
json_bytes = st.builds(lambda value, how: json.dumps(value, **how).encode(), values, layouts)


def strictly(text: bytes) -> Any:
    """Return the value by the strictest standard library parser, with numbers as spelled.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
    """

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(
        text.decode(),
        parse_constant=refuse,
        parse_int=str,
        parse_float=str,
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


def is_json(text: bytes) -> bool:
    try:
        check_json(text)
    except NotJSON:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        *(b"{}", b"[]", b'""', b"0", b"-0", b"true", b"false", b"null", b" \t\r\n1 \t\r\n"),
        *(b"1E+5", b"1e-5", b"0.10", b"1e999", b"9" * 400, b"-" + b"9" * 5000),
        *(b'{"a":1,"a":2}', b'{"":0}', b'"\\u0000\\b\\f\\n\\r\\t\\"\\\\\\/"', b'"\x7f"'),
        *('"\u2028\x85\ufeff"'.encode(), b'"\\ud83d\\ude00"', '"\U0001f600"'.encode()),
        b"[" * 200 + b"]" * 200,
    ],
    ids=lambda text: repr(text[:16]),
)
def test_check_json_accepts_json(text: bytes) -> None:
    """Any layout, any spelling and size of numbers, and duplicate keys are JSON."""
    check_json(text)
    strictly(text)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b'{"id": 3', b'"\\', b"nul", b"nulx", b"{} {}", b"1\0", b"\0", b"\x0b1"),
        *(b"NaN", b"[NaN]", b"-Infinity", b"+1", b".5", b"01", b"1.", b"1e", b"-", b"0x10"),
        *(b"[1,]", b'{"a":1,}', b"{1:2}", b"{'a':1}", b'"a\tb"', b'"a\nb"', b'"\0"', b'"\x1f"'),
        *(b'"\\x41"', b'"\\u12g4"', b'"\\ud800', b'["\\ud800",NaN]', b'"\\"'),
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
def test_check_json_rejects_all_else(text: bytes) -> None:
    """The error gives the reason, on one printable line."""
    with pytest.raises(NotJSON) as info:
        check_json(text)
    assert str(info.value)
    assert str(info.value).isprintable()
    assert not str(info.value).startswith("JSON is malformed")


@pytest.mark.parametrize(
    "text", [b'"\\ud800"', b'{"\\uDC00": [1e999]}', b'["\\ud83d", "x"]'], ids=repr
)
def test_lone_surrogate_escapes_are_json(text: bytes) -> None:
    """RFC 8259 allows them, and programs that cut emoji in two send them: they pass unchanged."""
    check_json(text)
    assert json.dumps(decode_json(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'"\xff"', "it is not UTF-8: invalid start byte at byte 1"),
        (b'"\xc3"', "it is not UTF-8: invalid continuation byte at byte 1"),
        (b'"\xc0\x80"', "it is not UTF-8: invalid start byte at byte 1"),
        (b'"\xed\xa0\x80"', "it is not UTF-8: invalid continuation byte at byte 1"),
        (b'{"\xf8":1}', "it is not UTF-8: invalid start byte at byte 2"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "it is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "it is nested too deeply"),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_check_json_rejects_what_its_parser_accepts(text: bytes, why: str) -> None:
    """The encoding inside strings and the depth are checked, too."""
    with pytest.raises(NotJSON) as info:
        check_json(text)
    assert str(info.value) == why


def at_depth(frames: int, check: Callable[[], None]) -> None:
    if frames:
        at_depth(frames - 1, check)
    else:
        check()


@pytest.mark.parametrize("frames", [0, 300])
@pytest.mark.parametrize(("opens", "inner", "closes"), [("[", "", "]"), ('{"[[\\"[":', "1", "}")])
@pytest.mark.parametrize("surrogate", ["", r', "\ud800"'])
def test_check_record_accepts_the_same_depth_wherever_it_is_called(
    frames: int, opens: str, inner: str, closes: str, surrogate: str
) -> None:
    """A record is valid in every run, and for `verify`, or in none."""

    def text(levels: int) -> bytes:
        return f"[{opens * levels}{inner}{closes * levels}, [[]]{surrogate}]".encode()

    at_depth(frames, lambda: check_record(text(MAX_LEVELS - 1)))
    with pytest.raises(NotJSON, match="nested too deeply"):
        at_depth(frames, lambda: check_record(text(MAX_LEVELS)))


def test_check_record_ignores_brackets_in_strings_and_side_by_side() -> None:
    """An unterminated string takes linear time."""
    check_record(b'["%b", "\\"%b"%b]' % (b"[" * 2000, b"{" * 2000, b",[[]]" * 2000))
    with pytest.raises(NotJSON):
        check_record(b"[" * 501 + b'"' + rb"\"" * 1_000_000)


@given(json_bytes, st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=2)), max_size=2))
def test_check_json_agrees_with_the_standard_library(
    text: bytes, damages: list[tuple[int, bytes]]
) -> None:
    """Damaged JSON is rejected exactly where a strict parser rejects it."""
    for at, damage in damages:
        text = text[:at] + damage + text[at + 1 :]
    try:
        strictly(text)
    except ValueError:
        assert not is_json(text)
    else:
        assert is_json(text)


@given(st.text(st.sampled_from('\\"u012dDcCfF{}[]:, -.eE+\0\n'), max_size=16))
def test_check_json_agrees_on_escapes_and_numbers(text: str) -> None:
    """Strings and numbers, which a pass-through parser may skip, are checked, too."""
    for candidate in (f'"{text}"'.encode(), text.encode()):
        try:
            strictly(candidate)
        except ValueError:
            assert not is_json(candidate)
        else:
            assert is_json(candidate)


@given(texts)
def test_encode_text_survives_a_round_trip(text: str) -> None:
    """Any text becomes a JSON string on one line."""
    encoded = encode_text(text)
    assert json.loads(encoded) == text
    assert b"\n" not in encoded


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b'{"a":"b"}\n', b'{"a":"b"}\n'),
        (b'{"a":\t1,\r"b":2}\n', b'{"a": 1, "b":2}\n'),
        ('"\x7f\x9b31m\x85"\n'.encode(), b'"\\u007f\\u009b31m\\u0085"\n'),
        ('"\u202eevil\u2069"\n'.encode(), b'"\\u202eevil\\u2069"\n'),
        ('"\u2028 ü \U0001f600"\n'.encode(), '"\u2028 ü \U0001f600"\n'.encode()),
        (b'"\\u001b[2J"', b'"\\u001b[2J"'),
    ],
    ids=["plain", "white-space", "c1", "bidirectional", "other-text", "no-line-break"],
)
def test_harmless_escapes_what_could_steer_a_terminal(line: bytes, shown: bytes) -> None:
    """Control characters become escapes or spaces; the line break and all other text stay."""
    assert harmless(line) == shown


def test_harmless_can_keep_to_ascii() -> None:
    """A terminal that does not know UTF-8 shows letters beyond ASCII as escapes."""
    line = '"ü \U0001f600 \x9b"\n'.encode()
    assert harmless(line, in_ascii=True) == b'"\\u00fc \\ud83d\\ude00 \\u009b"\n'


@given(json_bytes.filter(lambda text: b"\n" not in text), st.booleans())
def test_harmless_changes_no_value(text: bytes, in_ascii: bool) -> None:
    """The value is the same, and the line break at the end is the only control character."""
    shown = harmless(text + b"\n", in_ascii=in_ascii)
    assert shown.isascii() or not in_ascii
    assert strictly(shown) == strictly(text)
    assert shown.endswith(b"\n")
    steering = [c for c in shown.decode()[:-1] if unicodedata.category(c) == "Cc"]
    assert steering == []
    assert not set(BIDIRECTIONAL_CONTROLS) & set(shown.decode())


@given(values)
def test_decode_json_gives_the_value(value: Any) -> None:
    """Output of the standard library decodes to the same value."""
    assert decode_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9" * 400, 10**400 - 1),
        (b"1e999", float("inf")),
        (b"[-1e999,1]", [float("-inf"), 1]),
        (b'{"a":' + b"9" * 5000 + b',"b":1}', {"a": float("inf"), "b": 1}),
        (b"-" + b"9" * 5000, float("-inf")),
    ],
    ids=["400-digits", "exponent", "negative-exponent", "5000-digits", "negative-5000-digits"],
)
def test_decode_json_never_raises_over_a_number(text: bytes, value: Any) -> None:
    """A number too large for Python is infinite, not an exception."""
    check_json(text)
    assert decode_json(text) == value


def spelled(text: bytes) -> Any:
    """Return the value with numbers as spelled; the last of equal keys counts."""
    return json.loads(text.decode(), parse_int=lambda t: ("number", t), parse_float=str)


@given(nasty.json_texts)
def test_decoding_and_encoding_keep_the_spelling(text: bytes) -> None:
    """Numbers of any size, minus zero and lone surrogates survive."""
    check_json(text)
    again = encode_json(decode_spelled(text))
    assert spelled(again) == spelled(text)
    assert spelled(encode_json(decode_json(b"[1E400,%b]" % (b"7" * 5000)))) == spelled(
        b"[1E400,%b]" % (b"7" * 5000)
    )


@given(nasty.objects)
def test_split_object_keeps_each_value_as_it_is_spelled(text: bytes) -> None:
    """Nested duplicates, odd numbers and white space stay; the last of equal keys counts."""
    members = split_object(b" " + text)
    assert members is not None
    expected = spelled(text)
    assert {key: spelled(value) for key, value in members.items()} == expected
    assert list(members) == list(expected)
    assert all(value in text for value in members.values())


@given(st.lists(nasty.json_texts, max_size=4), st.sampled_from(["", " ", "\n "]))
def test_split_list_gives_the_items_byte_for_byte(items: list[bytes], space: str) -> None:
    """Any white space may stand between items."""
    between = space.encode()
    text = b"[%b]" % b",".join(between + item + between for item in items)
    assert split_list(between + text) == items


@pytest.mark.parametrize("text", [b"1", b'"{}"', b"[{}]", b" null"])
def test_split_object_leaves_other_values_alone(text: bytes) -> None:
    """Other values have no members."""
    assert split_object(text) is None
    assert split_list(b"{}") is None
