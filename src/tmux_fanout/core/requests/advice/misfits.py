"""What to write where a function, or a comparison, does not accept a value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jmespath.exceptions import JMESPathTypeError

from tmux_fanout.core.requests.advice.rewriting import rewrite_comparison, shown
from tmux_fanout.core.requests.advice.tokens import arguments
from tmux_fanout.core.text import one_of
from tmux_fanout.core.uploads.form import NamedFile

_TYPES = {
    "string": "text",
    "number": "a number",
    "array": "a list",
    "object": "an object",
    "boolean": "true or false",
    "null": "null",
    "expref": "an expression",
    "file": "a file",
    "array-string": "a list of text",
    "array-number": "a list of numbers",
}
# Elements of lists are reported by their types in Python.
_ELEMENTS = {
    **dict.fromkeys(("int", "float", "JSONNumber"), "number"),
    "str": "string",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
    "NoneType": "null",
    NamedFile.__name__: "file",
}
_DEFAULTS = {
    "string": "''",
    "array": "`[]`",
    "array-string": "`[]`",
    "array-number": "`[]`",
    "number": "`0`",
    "object": "`{}`",
}
_LITERAL = re.compile(r"'.*'|`.*`", re.DOTALL)


def explain_argument(
    text: str, error: JMESPathTypeError, signature: Sequence[dict[str, list[str]]]
) -> str:
    """Return why a function does not accept an argument, and what to write, if that is known.

    Args:
        text: the expression.
        error: as jmespath raises it.
        signature: of the function.
    """
    function, expected = error.function_name, list(error.expected_types)
    is_element = error.actual_type in _ELEMENTS
    if not is_element and isinstance(error.current_value, NamedFile):
        error.actual_type = "file"
    actual = _ELEMENTS.get(error.actual_type, error.actual_type)
    takes = one_of([_TYPES.get(each, each) for each in expected])
    got = _TYPES.get(actual, actual)
    why = f"{function}() takes {takes}, not {f'one with {got} in it' if is_element else got}"
    spans = arguments(text, function)
    indexes = [index for index, each in enumerate(signature) if each["types"] == expected]
    fitting = [
        spans[index]
        for index in indexes
        if index < len(spans) and not _LITERAL.fullmatch(text[spans[index]])
    ]
    if not fitting:
        return why
    span = fitting[0]
    better = _convert(text[span], expected, actual, is_element=is_element)
    if better is None:
        return why
    return f"{why}: write {shown(text[: span.start] + better + text[span.stop :])}"


def _convert(
    argument: str, expected: Sequence[str], actual: str, *, is_element: bool
) -> str | None:
    """Return an argument so that it has a type that is expected."""
    if actual == "file":
        return None
    if is_element:
        if "array-string" in expected:
            return f"map(&to_string(@), {argument})"
        return f"map(&to_number(@), {argument})" if actual == "string" else None
    if actual == "null":
        default = _DEFAULTS.get(expected[0])
        return default and f"{argument} || {default}"
    if actual in ("number", "boolean") and "string" in expected:
        return f"to_string({argument})"
    return f"to_number({argument})" if (actual, *expected) == ("string", "number") else None


def explain_operands(text: str, error: TypeError) -> str | None:
    """Return why Python rejects the operands of an expression, and what to write.

    None if the error is of another kind.
    """
    if "not supported between" in str(error):
        meant = rewrite_comparison(text)
        write = f"write {shown(meant.text)}" if meant else "convert the text with to_number(...)"
        return f"a number is compared with text: {write}"
    if "'in <string>'" in str(error):
        return "contains() finds only text in text: convert a number with to_string(...)"
    return None
