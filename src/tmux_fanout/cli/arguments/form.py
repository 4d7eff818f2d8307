"""The form of an output: lines of JSON, or a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, cast

from tmux_fanout.cli.stderr import terminal_encoding
from tmux_fanout.core.conversion.columns import EXAMPLE, check_apis, parse_columns
from tmux_fanout.core.conversion.table import ResultTable
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import harmless, harmless_row
from tmux_fanout.core.mistakes.finding import SettingMissing
from tmux_fanout.core.records.parser import format_by_name
from tmux_fanout.core.results.envelope import EmitForm
from tmux_fanout.core.text import printable

_TABLES = ("csv", "tsv")


def choose_emit(options: Mapping[str, Any], given: Collection[str]) -> EmitForm:
    """Return the form of the output.

    Args:
        options: merged with the configuration file; `emit` is None where nothing says.
        given: names of those that are on the command line.

    Raises:
        ConfigError: options contradict each other, or the name of the file.
    """
    emit, columns, path = (options[name] for name in ("emit", "columns", "output"))
    by_name = format_by_name(path or "")
    if emit is None:
        emit = ("tsv" if by_name == "tsv" else "csv") if columns is not None else "envelope"
    if emit in _TABLES:
        if columns is None:
            raise SettingMissing(f"--emit {emit} needs --columns, such as --columns '{EXAMPLE}'")
        return cast(EmitForm, emit)
    if "columns" in given:
        raise ConfigError(f"--columns with --emit {emit}: use --emit csv, or tsv")
    if by_name in _TABLES:
        shown = printable(repr(path))
        why = f"--output: {shown} is a table by its name, and --emit {emit} writes JSON"
        raise ConfigError(f"{why}: add -e {by_name} --columns '{EXAMPLE}', or name it .jsonl")
    return cast(EmitForm, emit)


def choose_table(
    options: Mapping[str, Any], names: Collection[str] | None = None
) -> ResultTable | None:
    """Return what writes results as rows; None if the output is not a table.

    Args:
        options: with `emit` as chosen.
        names: of the APIs; None if they are not known.

    Raises:
        ConfigError: a column is about an API that does not exist.
    """
    if options["emit"] not in _TABLES:
        return None
    columns = parse_columns(options["columns"])
    if names is not None:
        try:
            check_apis(columns, names)
        except ConfigError as exc:
            raise ConfigError(f"--columns: {exc}") from None
    return ResultTable(options["emit"], columns)


def harmless_lines(*, is_table: bool) -> Callable[[bytes], bytes]:
    """Return what makes lines such that a terminal can show them."""
    in_ascii = terminal_encoding() != "utf-8"
    return partial(harmless_row if is_table else harmless, in_ascii=in_ascii)
