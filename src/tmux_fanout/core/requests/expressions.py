"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a missing field is null.  In the body of a request, a misspelt field would then be sent
as null.  There a missing field is an error that names it (`core.requests.strict`).
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.visitor import Options, TreeInterpreter

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import spell_json
from tmux_fanout.core.requests.advice.diagnosis import diagnose, find_trap
from tmux_fanout.core.requests.advice.misfits import explain_argument, explain_operands
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.requests.functions import Functions
from tmux_fanout.core.requests.strict import Absent, StrictInterpreter
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
        names_files: whether what it finds may have files in it, so that it may call `file()`.

    Attributes:
        text: the expression as it was written.
        tells_time: whether it calls `now()`.
        has_files: whether it calls `file()`.

    Raises:
        ConfigError: the text is not an expression.
    """

    def __init__(
        self,
        key: str,
        text: str,
        *,
        strict: bool,
        is_timed: bool = False,
        names_files: bool = False,
    ) -> None:
        if _LONG_NUMBER_IN_LITERAL.search(text):  # jmespath reads such a literal as a string
            why = "a number in a literal `...` has too many digits: use a shorter one"
            raise ConfigError(why, key=key)
        if trap := find_trap(text):
            raise ConfigError(trap, key=key)
        try:
            self._ast = jmespath.compile(text).parsed
        except RecursionError:
            raise ConfigError(_TOO_DEEP, key=key) from None
        except Exception as exc:  # jmespath passes on Python's own exceptions for odd text
            why = f"invalid JMESPath expression: {diagnose(text, exc)}"
            raise ConfigError(why, key=key) from None
        _check(key, self._ast)
        self.has_files = _calls("file", self._ast)
        if self.has_files and not names_files:
            form = 'body_format = "multipart"'
            advice = f"add {form}" if key == "body" else f"use it in body, with {form}"
            raise ConfigError(f"file() is for forms with files: {advice}", key=key)
        self.tells_time = _calls("now", self._ast)
        if self.tells_time and not is_timed:
            why = "now() is not available here: use it in body, when or select"
            raise ConfigError(why, key=key)
        self.text = text
        self._key = key
        self._functions = Functions()
        self._options = Options(custom_functions=self._functions)
        interpreter = StrictInterpreter if strict else TreeInterpreter
        self._interpreter = interpreter(self._options)

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

    def missing_in(self, value: Any) -> MissingField | None:
        """Return the first field that the expression looks for in vain and does not provide for.

        Args:
            value: any JSON value.
        """
        try:
            self._search(StrictInterpreter(self._options), value)
        except MissingField as exc:
            return exc
        except ExpressionError:
            pass
        return None

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
        except Absent as exc:
            raise exc.described(value, self.text) from None
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as exc:
            raise ExpressionError(f"{self._key}: {self._explain(exc)}") from exc

    def _explain(self, error: Exception) -> str:
        """Return why an evaluation failed; jmespath passes on Python's own exceptions, too."""
        if isinstance(error, JMESPathTypeError):
            signature = Functions.FUNCTION_TABLE[error.function_name]["signature"]
            return explain_argument(self.text, error, signature)
        if isinstance(error, TypeError) and (why := explain_operands(self.text, error)):
            return why
        return printable(str(error).partition("\n")[0]) or type(error).__name__

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


def _calls(name: str, node: dict[str, Any]) -> bool:
    """Return whether an expression calls a function."""
    if node["type"] == "function_expression" and node["value"] == name:
        return True
    return any(_calls(name, child) for child in node["children"] if isinstance(child, dict))


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
