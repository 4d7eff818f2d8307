"""The tokens of a JMESPath expression, or of what is meant to be one, with their surroundings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`
    | (?<![\w.])-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])
    | [A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z_][A-Za-z0-9_]*)*
    | == | != | <= | >= | \|\| | && | \[\? | \[\] | .
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOSERS = {")": "(", "]": "[", "}": "{"}


class Token(NamedTuple):
    """A token where it stands.

    Attributes:
        text: as it was written.
        start: index of its first character.
        earlier: the token before the one before it, or "".
        before: the token before it, or "".
        after: the token after it, or "".
        then: the token after that one, or "".
        inside: the bracket around it: `(`, `[`, `[?` or `{`; "" if there is none.
        function: name of the function that it is an argument of, or "".
        argument: index of that argument.
    """

    text: str
    start: int
    earlier: str
    before: str
    after: str
    then: str
    inside: str
    function: str
    argument: int

    @property
    def end(self) -> int:
        """Index after its last character."""
        return self.start + len(self.text)


class _Bracket(NamedTuple):
    text: str
    function: str = ""


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of any text, blanks left out."""
    matches = [match for match in _TOKEN.finditer(text) if not match[0].isspace()]
    words = ["", "", *(match[0] for match in matches), "", ""]
    brackets = [_Bracket("")]
    commas = [0]
    for index, match in enumerate(matches):
        earlier, before, word, after, then = words[index : index + 5]
        if word in _CLOSERS and len(brackets) > 1:
            brackets.pop()
            commas.pop()
        bracket, function = brackets[-1]
        yield Token(
            word, match.start(), earlier, before, after, then, bracket, function, commas[-1]
        )
        if word in ("(", "[", "[?", "{"):
            is_call = word == "(" and _NAME.fullmatch(before) is not None
            brackets.append(_Bracket(word, before if is_call else ""))
            commas.append(0)
        elif word == ",":
            commas[-1] += 1


def is_name(text: str) -> bool:
    """Return whether a token is a name that needs no quotes."""
    return _NAME.fullmatch(text) is not None


def arguments(text: str, function: str) -> Sequence[slice]:
    """Return where the arguments of a function stand; none unless it is called exactly once."""
    tokens = list(tokenize(text))
    calls = [one for one, two in pairwise(tokens) if (one.text, two.text) == (function, "(")]
    if len(calls) != 1:
        return ()
    depth, starts, spans = 0, [], []
    for token in tokens[tokens.index(calls[0]) + 1 :]:
        if token.text in ("(", "[", "[?", "{"):
            depth += 1
            if depth == 1:
                starts.append(token.end)
        elif token.text in _CLOSERS:
            depth -= 1
        if depth == 0 or (depth == 1 and token.text == ","):
            spans.append(_trimmed(text, starts[-1], token.start))
            starts.append(token.end)
        if depth == 0:
            return spans
    return ()


def _trimmed(text: str, start: int, end: int) -> slice:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return slice(start, start + len(part.strip()))
