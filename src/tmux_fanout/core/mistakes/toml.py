"""TOML, and what to change where a text is not."""

from __future__ import annotations

import tomllib
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable

_TOML_FIXES = {  # by what a message of tomllib has in it
    "Invalid value": 'put text in quotes, as in timeout = "20s"',
    "end of document after a statement": 'put text in quotes, as in timeout = "20s"',
    "Unterminated string": "close the quotes of a text, on the same line",
    'Expected "\'"': "close the quotes of a text, on the same line",
    "invalid character '\\n'": "close the quotes of a text, on the same line",
    "Illegal character '\\n'": "close the quotes of a text, on the same line",
    "Unescaped '\\'": r"put text with a \ in single quotes, as in 'a\b'",
    "Invalid statement": 'write a key and its value as in timeout = "20s"',
    "Expected '='": 'write a key and its value as in timeout = "20s"',
    "table declaration": "write the name of a table as in [api.lookup]",
    "nclosed array": "close the list with ]",
    "nclosed inline table": "close the table with }, on the same line",
    "initial character for a key": 'write a key as in timeout = "20s", and { ... } on one line',
    "twice": "a table or key stands there a second time: merge the two",
    "overwrite": "a table or key stands there a second time: merge the two",
    "mutate": "a table or key stands there a second time: merge the two",
}


def parse_toml(text: str, path: str) -> dict[str, Any]:
    """Return the tables of a TOML file as they are.

    Args:
        text: of the file.
        path: of the file, as messages show it.

    Raises:
        ConfigError: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: {_toml_mistake(str(exc))}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not TOML, nested too deeply: use fewer brackets") from None
    except ValueError:  # raised by int()
        why = "not TOML, a number has too many digits: use a shorter one"
        raise ConfigError(f"{path}: {why}") from None


def _toml_mistake(message: str) -> str:
    """Return what to change, where tomllib says something such as `Invalid value (at line 3, ...)`.

    The parser of each version of Python has its own words.
    """
    what, _, where = message.rpartition(" (at ")
    place = f"{where.removesuffix(')')}: " if where.startswith("line") else ""
    fix = next((fix for part, fix in _TOML_FIXES.items() if part in what), None)
    fix = fix or f"{printable(what or message)}; see toml.io"
    return f"{place}not TOML: {fix}"
