"""Rewrite an expression into the one that was probably meant.

Each rule looks at one token, and returns what to write in its place, with the reason.  Some
mistakes make an expression invalid; others leave it valid, with another meaning: `level == "error"`
compares two fields, and `done == true` looks for a field called true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tmux_fanout.core.requests.advice.tokens import Token, is_name, tokenize
from tmux_fanout.core.text import printable

_MAX_LENGTH = 2000  # characters of an expression that a message shows
_COMPARATORS = ("==", "!=", "<", "<=", ">", ">=")
_ORDER = _COMPARATORS[2:]
_ENDS = ("", ")", "]", "}", ",", "&&", "||", "|")
_STARTS = ("", "(", "[", "[?", "{", ",", ":", "&&", "||", "|", "!", "&", *_COMPARATORS)
_KEYWORDS = ("true", "false", "null")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"and": "&&", "or": "||", "AND": "&&", "OR": "||"}
_WORDS_IN_A_ROW = re.compile(
    r"""
      '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`
    | (?P<name>(?!(?:and|or|not)\b)[^\W\d][\w-]*(?:[ ]+(?!(?:and|or|not)\b)\w[\w-]*)*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# Functions that take text to look for, or to put in between, and the index of that argument.
_TEXT_ARGUMENTS = {"contains": 1, "starts_with": 1, "ends_with": 1, "join": 0, "split": 1}


class Rewritten(NamedTuple):
    """An expression that was rewritten, and why."""

    text: str
    reasons: Sequence[str]


class _Change(NamedTuple):
    new: str
    reason: str


_Rule = Callable[[Token], _Change | None]


def rewrite_valid(text: str) -> Rewritten | None:
    """Return what to write instead of an expression that is valid and means something else.

    None if it probably means what it says.
    """
    return _rewrite(text, _VALID)


def rewrite_invalid(text: str) -> Rewritten | None:
    """Return what to write instead of an invalid expression; None if no mistake is recognised."""
    return _rewrite(text, (*_VALID, *_INVALID))


def rewrite_names(text: str) -> Rewritten | None:
    """Return an invalid expression with its names in double quotes that have blanks or letters
    beyond ASCII; None if it has none."""
    names: list[str] = []

    def quote(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None or is_name(name):
            return match[0]
        names.append(name)
        return quoted(name)

    new = _WORDS_IN_A_ROW.sub(quote, text)
    if not names:
        return None
    reason = f"{quoted(names[0])} needs its double quotes"
    if " " in names[0]:
        reason = (
            f"a name with blanks needs double quotes, and a text single ones ({raw_text(names[0])})"
        )
    return Rewritten(new.strip(), [reason])


def rewrite_comparison(text: str) -> Rewritten | None:
    """Return what to write instead of an expression that compares a number with text; None if it is
    not clear which comparison that is."""
    return _rewrite(text, [_number_as_text])


def rewrite_bare_text(text: str) -> Rewritten | None:
    """Return an expression that compares two fields with the second one as text; None if no field
    is compared with a bare name."""
    return _rewrite(text, [_bare_text])


def raw_text(text: str) -> str:
    """Return text as a literal of JMESPath."""
    if text.isprintable() and "\\" not in text:
        return "'" + text.replace("'", "\\'") + "'"
    return "`" + json.dumps(text).replace("`", "\\`") + "`"


def shown(expression: str) -> str:
    """Return an expression as a message may show it."""
    return printable(expression, _MAX_LENGTH)


def quoted(name: str) -> str:
    """Return a name as JMESPath has it: bare where that is possible."""
    return name if is_name(name) else json.dumps(name, ensure_ascii=not name.isprintable())


def _rewrite(text: str, rules: Sequence[_Rule]) -> Rewritten | None:
    parts, reasons, at = [], [], 0
    for token in tokenize(text):
        change = next(filter(None, (rule(token) for rule in rules)), None)
        if change:
            parts += [text[at : token.start], change.new]
            reasons.append(change.reason)
            at = token.end
    if not reasons:
        return None
    return Rewritten("".join([*parts, text[at:]]).strip(), list(dict.fromkeys(reasons)))


def _quoted_text(token: Token) -> _Change | None:
    """Double quotes around text that something is compared with, or that is looked for."""
    if len(token.text) < 2 or token.text[0] != '"':
        return None
    try:
        text = json.loads(token.text)
    except ValueError:
        return None
    is_last = token.after in _ENDS
    is_text = (
        (token.before in _COMPARATORS and is_last and token.earlier[:1] not in ("'", "`"))
        or (token.before == "||" and is_last and is_name(text))
        or (token.before in _STARTS and token.after in _COMPARATORS and is_name(token.then))
        or (_TEXT_ARGUMENTS.get(token.function) == token.argument and _is_alone(token))
    )
    if not is_text or (token.after in _COMPARATORS and not is_name(text)):
        return None
    field = "" if is_name(text) else f" (if that is meant, @.{token.text})"
    return _Change(raw_text(text), f"{token.text} in double quotes is a field{field}")


def _keyword(token: Token) -> _Change | None:
    """A bare true, false or null."""
    is_path = token.before == "." or token.after in (".", "(", "[", "[?", "[]")
    if token.text not in _KEYWORDS or is_path or token.after == ":":
        return None
    return _Change(f"`{token.text}`", f"{token.text} without backticks is a field")


def _number(token: Token) -> _Change | None:
    """A bare number, which only an index or a slice has."""
    around = ("[", "]", ":")
    is_index = token.inside == "[" and token.before in around and token.after in around
    if not _NUMBER.fullmatch(token.text) or is_index:
        return None
    return _Change(f"`{token.text}`", "a number needs backticks")


def _equals(token: Token) -> _Change | None:
    return _Change("==", "equality is ==") if token.text == "=" else None


def _word(token: Token) -> _Change | None:
    """The operators of Python, SQL and jq."""
    if token.text in _WORDS and token.before not in _STARTS and token.after not in _ENDS:
        new = _WORDS[token.text]
        return _Change(new, f"{token.text} is {new}")
    if (
        token.text in ("not", "NOT")
        and token.before in (*_STARTS, *_WORDS)
        and token.after not in _ENDS
    ):
        return _Change("!", f"{token.text} is !")
    return None


def _hyphen(token: Token) -> _Change | None:
    if "-" not in token.text or not is_name(token.text.replace("-", "_")):
        return None
    return _Change(f'"{token.text}"', "a name with - needs double quotes")


def _root(token: Token) -> _Change | None:
    """The root of JSONPath and of jq."""
    if token.text == "$" or (token.text == "." and token.before in _STARTS):
        is_path = token.after == "." if token.text == "$" else token.after not in _ENDS
        return _Change("" if is_path else "@", "a path begins with a name")
    if token.text == "." and token.before == "$":
        return _Change("", "a path begins with a name")
    return None


def _shorthand(token: Token) -> _Change | None:
    """A key without its value, as in jq."""
    is_key = token.inside == "{" and token.before in ("{", ",") and token.after in (",", "}")
    if not is_key or not is_name(token.text):
        return None
    return _Change(f"{token.text}: {token.text}", "every key needs a value")


def _text_as_key(token: Token) -> _Change | None:
    is_key = token.inside == "{" and token.before in ("{", ",") and token.after == ":"
    if not is_key or token.text[0] != "'" or len(token.text) < 2:
        return None
    return _Change(quoted(token.text[1:-1]), "a key is not in single quotes")


def _number_as_text(token: Token) -> _Change | None:
    """A number in single quotes that a number is compared with."""
    is_compared = token.before in _ORDER or token.after in _ORDER
    if not is_compared or token.text[0] != "'" or not _NUMBER.fullmatch(token.text[1:-1]):
        return None
    return _Change(f"`{token.text[1:-1]}`", "a number is compared with text")


def _bare_text(token: Token) -> _Change | None:
    """A name that a field is compared with."""
    is_operand = token.before in ("==", "!=") and token.after in _ENDS
    if not is_operand or not is_name(token.text) or not is_name(token.earlier):
        return None
    return _Change(raw_text(token.text), f"{token.text} without quotes is a field")


def _is_alone(token: Token) -> bool:
    return token.before in ("(", ",") and token.after in (")", ",")


_VALID: Sequence[_Rule] = (_quoted_text, _keyword)
_INVALID: Sequence[_Rule] = (*(_number, _equals, _word, _hyphen, _root, _shorthand, _text_as_key),)
