"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a missing field is null.  In the body of a request, a misspelt field would then be sent
as null.  There a missing field is an error that names it, except where the expression provides for
it: on the left of `||`, and in `not_null(...)`.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import Options, TreeInterpreter

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import spell_json
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.requests.functions import Functions
from tmux_fanout.core.text import nearest, printable

# Evaluating a level takes up to five frames of the interpreter's stack, which holds 1,000.
_MAX_LEVELS = 150
_MISPLACED = {
    False: "misplaced &: use it only in functions such as sort_by(list, &field)",
    True: "missing &: use it here, as in sort_by(list, &field) or map(&field, list)",
}
# What looks at the value, and functions, which may look at the clock.
_DEPENDENT = ("field", "current", "identity", "index", "slice", "function_expression")
_TOO_DEEP = "the expression is nested too deeply: use a shorter one"
_LONG_NUMBER = re.compile(r"[0-9]{4301}")
_LONG_NUMBER_IN_LITERAL = re.compile(r"`[^`\"]*[0-9]{4301}")


class ExpressionError(ValueError):
    """An expression does not fit a value; the text says why."""


class TextHasNoFields(Exception):
    """An expression looks for a field in what is text alone."""


class Expression:
    """A compiled expression.

    Args:
        key: the setting, for messages: `body`, `select`, `when`.
        text: the expression.
        strict: whether a missing field is an error.
        is_timed: whether `search` is given the time, so that the expression may call `now()`.

    Attributes:
        text: the expression as it was written.
        tells_time: whether it calls `now()`.

    Raises:
        ConfigError: the text is not an expression.
    """

    def __init__(self, key: str, text: str, *, strict: bool, is_timed: bool = False) -> None:
        if _LONG_NUMBER_IN_LITERAL.search(text):  # jmespath reads such a literal as a string
            why = "a number in a literal `...` has too many digits: use a shorter one"
            raise ConfigError(why, key=key)
        try:
            self._ast = jmespath.compile(text).parsed
        except RecursionError:
            raise ConfigError(_TOO_DEEP, key=key) from None
        except Exception as exc:  # jmespath passes on Python's own exceptions for odd text
            why = f"invalid JMESPath expression: {_fix(exc, text)}"
            raise ConfigError(why, key=key) from None
        _check(key, self._ast)
        self.tells_time = _calls_now(self._ast)
        if self.tells_time and not is_timed:
            why = "now() is not available here: use it in body, when or select"
            raise ConfigError(why, key=key)
        self.text = text
        self._key = key
        self._functions = Functions()
        self._options = Options(custom_functions=self._functions)
        self._interpreter = _Strict(self._options) if strict else TreeInterpreter(self._options)

    def __repr__(self) -> str:
        return f"<Expression {self._key}>"

    @property
    def is_never_true(self) -> bool:
        """Whether it is true of nothing, whatever that is."""
        nodes = deque([self._ast])
        while nodes:
            node = nodes.popleft()
            if node["type"] in _DEPENDENT:
                return False
            nodes += [child for child in node["children"] if isinstance(child, dict)]
        try:
            return not self.holds(None)
        except ExpressionError:
            return False

    def search(self, value: Any, now: float = 0.0) -> Any:
        """Return what the expression finds in a value.

        Args:
            value: any JSON value.
            now: seconds since 1970; only needed where the expression tells the time.

        Raises:
            MissingField: a strict expression needs a missing field.
            ExpressionError: a function does not accept its arguments.
        """
        self._functions.time = now
        return self._search(self._interpreter, value)

    def search_text(self, text: str, now: float = 0.0) -> Any:
        """Return what the expression finds in a text: functions may take it, but it has no fields.

        Args:
            text: any text.
            now: as for `search`.

        Raises:
            TextHasNoFields: the expression looks for a field, or for an item of a list.
            ExpressionError: as `search`.
        """
        self._functions.time = now
        return self._search(_OfText(self._options, text), text)

    def _search(self, interpreter: TreeInterpreter, value: Any) -> Any:
        try:
            return interpreter.visit(self._ast, value)
        except MissingField:
            raise
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as exc:
            # Functions of jmespath pass on Python's own exceptions for odd arguments.
            why = printable(str(exc).partition("\n")[0]) or type(exc).__name__
            raise ExpressionError(f"{self._key}: {why}") from exc

    def holds(self, value: Any, now: float = 0.0) -> bool:
        """Return whether the expression is true of a value: it finds neither null, false nor 0, and
        nothing that is empty.

        Args:
            value: any JSON value.
            now: as for `search`.

        Raises:
            MissingField: as `search`.
            ExpressionError: as `search`.
        """
        return bool(self.search(value, now))


def _fix(exc: Exception, text: str) -> str:
    """Return what to change in an invalid expression, as precisely as it is known."""
    position = getattr(exc, "lex_position", None)
    if position is not None:
        at_end = position >= len(text.rstrip())
        return "it is incomplete" if at_end else f"see character {position + 1}"
    if not text.strip():
        return "use one that is not empty"
    if _LONG_NUMBER.search(text):
        return "use a shorter number"
    return "see jmespath.org"


def _check(key: str, ast: dict[str, Any]) -> None:
    """Check that a compiled expression only gives values that JSON can hold.

    Raises:
        ConfigError: it does not, or it calls a function with the wrong arguments.
    """
    nodes = deque([(ast, 1, False)])
    while nodes:
        node, level, takes_reference = nodes.popleft()
        kind, children = node["type"], node["children"]
        if level > _MAX_LEVELS:
            raise ConfigError(_TOO_DEEP, key=key)
        if takes_reference is not (kind == "expref"):
            raise ConfigError(_MISPLACED[takes_reference], key=key)
        if kind == "literal":
            _check_literal(key, node["value"])
        if kind == "slice" and children[2] == 0:
            raise ConfigError("invalid slice step 0: use one such as [::1]", key=key)
        if kind == "subexpression" and children[0]["type"] == "not_expression":
            # The grammar reads !a.b as (!a).b, which is always null.
            raise ConfigError("misplaced !: put the path after it in parentheses: !(a.b)", key=key)
        references = [False] * len(children)
        if kind == "function_expression":
            _check_function(key, node["value"], len(children))
            references = _takes_references(node["value"], len(children))
        nodes += [
            (child, level + 1, takes_reference)
            for child, takes_reference in zip(children, references)
            if isinstance(child, dict)  # not a number of a slice
        ]


def _calls_now(node: dict[str, Any]) -> bool:
    if node["type"] == "function_expression" and node["value"] == "now":
        return True
    return any(_calls_now(child) for child in node["children"] if isinstance(child, dict))


def _check_literal(key: str, value: Any) -> None:
    try:
        spell_json(value)
    except ValueError:
        raise ConfigError("invalid literal in `...`: use a JSON value", key=key) from None
    except RecursionError:
        raise ConfigError(_TOO_DEEP, key=key) from None


def _takes_references(name: str, arguments: int) -> list[bool]:
    """Return for each argument of a function whether it is an expression reference (`&...`)."""
    parameters = Functions.FUNCTION_TABLE[name]["signature"]
    takes = ["expref" in parameter["types"] for parameter in parameters]
    return takes + takes[-1:] * (arguments - len(takes))


def _check_function(key: str, name: str, arguments: int) -> None:
    known = Functions.FUNCTION_TABLE
    if name not in known:
        raise ConfigError(f"unknown function {name}(): {nearest(name, known)}", key=key)
    signature = known[name]["signature"]
    is_open = bool(signature) and signature[-1].get("variadic", False)
    if arguments < len(signature) or (arguments > len(signature) and not is_open):
        minimum = "at least " if is_open else ""
        advice = f"use {minimum}{len(signature)}"
        raise ConfigError(f"wrong number of arguments of {name}(): {advice}", key=key)


class _Strict(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    def visit_field(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, dict) and node["value"] in value:
            return value[node["value"]]
        raise MissingField(node["value"])

    def visit_index(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, list) and -len(value) <= node["value"] < len(value):
            return value[node["value"]]
        raise MissingField(f"[{node['value']}]")

    def visit_projection(self, node: dict[str, Any], value: Any) -> Any:
        found = super().visit_projection(node, value)
        if found is None:
            raise MissingField("[*] (there is no list)")
        return found

    def visit_or_expression(self, node: dict[str, Any], value: Any) -> Any:
        left = self._lenient(node["children"][0], value)
        return self.visit(node["children"][1], value) if self._is_false(left) else left

    def visit_function_expression(self, node: dict[str, Any], value: Any) -> Any:
        if node["value"] != "not_null":
            return super().visit_function_expression(node, value)
        found = (self._lenient(child, value) for child in node["children"])
        return next((item for item in found if item is not None), None)

    def _lenient(self, node: dict[str, Any], value: Any) -> Any:
        try:
            return self.visit(node, value)
        except MissingField:
            return None


class _OfText(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """Evaluates an expression over a text, in which each field would be null."""

    _ALWAYS = frozenset({"field", "index", "slice"})
    _OF_CHILD = frozenset({"flatten", "projection", "filter_projection", "value_projection"})

    def __init__(self, options: Options, text: str) -> None:
        super().__init__(options)
        self._text = text

    def visit(self, node: dict[str, Any], value: Any) -> Any:
        if value is self._text and (
            node["type"] in self._ALWAYS
            or (node["type"] in self._OF_CHILD and node["children"][0]["type"] == "identity")
        ):
            raise TextHasNoFields
        return super().visit(node, value)
