"""Durations and sizes: what is accepted, what is rejected, and how they are shown."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.units import (
    parse_duration,
    parse_size,
    show_duration,
    show_size,
    show_time_left,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("7d", 604_800.0),
        ("1.5D", 129_600.0),
        ("90", 90.0),
        ("1.5", 1.5),
        (".5s", 0.5),
        ("5.", 5.0),
        ("0", 0.0),
        ("007s", 7.0),
        (" 10 s ", 10.0),
        ("10S", 10.0),
        ("10M", 600.0),
        ("10MS", 0.01),
        (0, 0.0),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_parse_duration_reads_what_people_write(text: str | float, seconds: float) -> None:
    """Each unit, plain seconds, numbers, and either case give seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("64KiB", 65_536),
        ("16MiB", 16_777_216),
        ("1GiB", 1_073_741_824),
        ("64kb", 64_000),
        ("3MB", 3_000_000),
        ("2GB", 2_000_000_000),
        ("1.5 KiB", 1536),
        (4096, 4096),
        (999_999_999_999_999, 999_999_999_999_999),
        ("999999999999999", 999_999_999_999_999),
    ],
)
def test_parse_size_reads_what_people_write(text: str | int, size: int) -> None:
    """Binary and decimal units and plain bytes give whole bytes."""
    result = parse_size(text)
    assert (result, type(result)) == (size, int)


NO_QUANTITIES = [
    *("", " ", "s", "10 parsecs", "-1s", "+1s", "1e3", "inf", "nan", "1_000", "1,5s", "1.2.3"),
    *("1 0s", "10ss", "0x10", "١٠s", "10\N{KELVIN SIGN}", "\N{DIGIT ONE}\u0301", "1m30s"),
    *("9" * 400, "9" * 400 + "s", "1" + "0" * 15),
    *(-1, -0.5, 10**400, 10**15, math.inf, -math.inf, math.nan, True, False, None, b"10", [10]),
]


@pytest.mark.parametrize("value", NO_QUANTITIES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("parse", [parse_duration, parse_size])
def test_parse_rejects_all_else_with_the_fix(parse: Callable[[Any], float], value: str) -> None:
    """All else, and any quantity beyond reason, is a ConfigError that says what to use."""
    with pytest.raises(ConfigError, match=r"^invalid (duration|size) .*: use .*plain") as info:
        parse(value)
    assert len(str(info.value)) < 200


@pytest.mark.parametrize(("parse", "unit"), [(parse_duration, "KiB"), (parse_size, "ms")])
def test_parse_rejects_the_other_kind_of_unit(parse: Callable[[Any], float], unit: str) -> None:
    """A size is not a duration, nor the other way round."""
    with pytest.raises(ConfigError, match=f"^invalid (duration|size) '10{unit}': use "):
        parse(f"10{unit}")


@given(st.text(max_size=12) | st.from_regex(r"[\d.]{1,30} ?[a-zA-Z]{0,3}", fullmatch=True))
def test_parse_gives_a_bounded_number_or_a_config_error(text: str) -> None:
    """No text crashes, or gives a quantity large enough to overflow."""
    for parse in (parse_duration, parse_size):
        with suppress(ConfigError):
            assert 0 <= parse(text) < 1e15


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (1e-9, "0.001ms"),
        (0.00025, "0.25ms"),
        (0.25, "250ms"),
        (0.1234567, "123ms"),
        (0.9994, "999ms"),
        (0.9999, "0.9999s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (61.23456, "61.23s"),
        (60, "1m"),
        (120.0, "2m"),
        (5400, "90m"),
        (3600, "1h"),
        (7200, "2h"),
        (999.96, "1000s"),
        (12345.6, "12346s"),
        (100_000.5, "100000s"),
        (3.6e10, "10000000h"),
        (60.01, "60.01s"),
        (300.04, "5m"),
        (3600.3, "1h"),
    ],
)
def test_show_duration_is_short_and_plain(seconds: float, shown: str) -> None:
    """A duration has three or four digits and no exponent; whole units keep all their digits."""
    assert show_duration(seconds) == shown


@given(st.floats(1e-6, 1e9))
def test_show_duration_can_be_read_back(seconds: float) -> None:
    """A shown value parses again, to within half a percent."""
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, rel=0.005)


@given(st.integers(0, 10**12))
def test_show_duration_of_whole_milliseconds_is_never_negative_or_empty(milliseconds: int) -> None:
    """Only zero is shown as zero."""
    assert (show_duration(milliseconds / 1000) == "0s") == (milliseconds == 0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 s"),
        (0.001, "1 s"),
        (42.1, "43 s"),
        (99.0, "99 s"),
        (99.5, "1 min 40 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (4_000_000.0, "1,111 h 6 min"),
    ],
)
def test_show_time_left_is_in_whole_seconds(seconds: float, shown: str) -> None:
    """A countdown is rounded up, and has two units at most."""
    assert show_time_left(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (17, "17 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1000 * 1024, "1000 KiB"),
        ((1 << 20) - 1, "1024 KiB"),
        (1 << 20, "1 MiB"),
        (64 << 20, "64 MiB"),
        ((1 << 30) - 1, "1024 MiB"),
        (10 << 40, "10240 GiB"),
    ],
)
def test_show_size_is_short_and_plain(size: int, shown: str) -> None:
    """A size has at least three digits, the largest unit that fits, and no exponent."""
    assert show_size(size) == shown


@given(st.integers(0, 10**14))
def test_show_size_can_be_read_back(size: int) -> None:
    """A shown value parses again, to within half a percent."""
    assert parse_size(show_size(size)) == pytest.approx(size, rel=0.006)
