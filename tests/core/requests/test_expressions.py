"""JMESPath over records and bodies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import decode_spelled, encode_json
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import MissingField

RECORD: dict[str, Any] = {"message": "hi", "user": {"id": 3}, "null": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("message", "hi"),
        ("{text: message, id: user.id}", {"text": "hi", "id": 3}),
        ("missing || message", "hi"),
        ("user.missing || `4`", 4),
        ("not_null(missing, user.id)", 3),
        ('"null"', None),
        ("length(message)", 2),
        ("`1`", 1),
    ],
)
def test_strict_expression_finds(text: str, found: Any) -> None:
    """Existing fields are found; those that the expression provides for may be missing."""
    assert Expression("body", text, strict=True).search(RECORD) == found


@pytest.mark.parametrize(
    ("text", "name"), [("missing", "missing"), ("{a: user.b}", "user.b: user has no b")]
)
def test_strict_expression_names_the_missing_field(text: str, name: str) -> None:
    """A misspelt field in a body's expression does not send null."""
    with pytest.raises(MissingField, match=f"^{name}$"):
        Expression("body", text, strict=True).search(RECORD)


def test_lenient_expression_finds_null_for_a_missing_field() -> None:
    """In `when` and `select`, a missing field is null, as in JMESPath."""
    assert Expression("when", "level == 'error'", strict=False).search(RECORD) is False
    assert Expression("select", "a.b", strict=False).search(RECORD) is None


@pytest.mark.parametrize("text", ["{text", "a ||", "foo(", "", "a b"])
def test_invalid_expression_is_a_configuration_error(text: str) -> None:
    """The message has the key, before anything is sent."""
    with pytest.raises(ConfigError, match=r"^when: invalid JMESPath expression"):
        Expression("when", text, strict=False)


def test_rejected_argument_is_an_error_of_the_record() -> None:
    """A value that a function rejects is one line."""
    with pytest.raises(ExpressionError, match=r"^body: .*length"):
        Expression("body", "length(user.id)", strict=True).search(RECORD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("contains(t, id)", {"t": "abc", "id": 1}),
        ("floor(n)", {"n": float("inf")}),
        ("floor(to_number(t))", {"t": "nan"}),
        ("join(',', t)", {"t": [1]}),
    ],
)
def test_any_exception_in_a_function_is_an_expression_error(text: str, value: object) -> None:
    """Python's own exceptions count too: one odd record must not end a run."""
    for strict in (True, False):
        with pytest.raises(ExpressionError, match=r"^body: "):
            Expression("body", text, strict=strict).search(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght(x)", "body: unknown function lenght(): did you mean length?"),
        ("{a: [max(x, y)]}", "body: wrong number of arguments of max(): use 1"),
        ("merge()", "body: wrong number of arguments of merge(): use at least 1"),
        ("x[?starts_with(@)]", "body: wrong number of arguments of starts_with(): use 2"),
    ],
)
def test_functions_are_checked_before_any_record(text: str, message: str) -> None:
    """Unknown names and wrong numbers of arguments fail for every record."""
    with pytest.raises(ConfigError) as caught:
        Expression("body", text, strict=True)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["items[0]", "items[-1]", "items[*].x", "{all: items[*]}"])
def test_strict_expression_needs_its_lists(text: str) -> None:
    """A missing or short list does not send null."""
    with pytest.raises(MissingField):
        Expression("body", text, strict=True).search({"items": "x"})
    assert Expression("body", "items[0] || 'none'", strict=True).search({"items": []}) == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a", "misplaced &: use it only in"),
        ("{a: &n}", "misplaced &: use it only in"),
        ("not_null(&a)", "misplaced &: use it only in"),
        ("sort_by(&a, &b)", "misplaced &: use it only in"),
        ("map(@, @)", "missing &: use it here"),
        ("`" + "1" * 5000 + "`", "too many digits"),
        ("{n: `[1, -" + "1" * 5000 + "]`}", "too many digits"),
        ("a[" + "1" * 5000 + "]", "use a shorter number"),
        ("`1e400`", "use a JSON value"),
        ("`[NaN]`", "use a JSON value"),
        ("(" * 3000 + "a" + ")" * 3000, "nested too deeply"),
        ("!" * 300 + "a", "nested too deeply"),
        ("`" + "[" * 3000 + "]" * 3000 + "`", "nested too deeply"),
        ("a[::0]", "invalid slice step 0"),
        ("\ud800", "invalid JMESPath expression"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_expression_that_no_record_can_use_is_a_configuration_error(
    text: str, message: str, strict: bool
) -> None:
    """The message is one line, before anything is sent."""
    with pytest.raises(ConfigError) as caught:
        Expression("body", text, strict=strict)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


LONG = "1" * 5000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("f", "1.10"),
        ("{f: f, e: e}", '{"f":1.10,"e":1e2}'),
        ("[big, minus, long]", f"[1E400,-0,{LONG}]"),
        ("list[*].f", "[2.50,1.0]"),
        ("list[?f > `2`].f | [0]", "2.50"),
        ("max(list[].f)", "2.50"),
        ("sort_by(list, &f)[0]", '{"f":1.0}'),
        ("sort([big, f])", "[1.10,1E400]"),
        ("max_by(list, &f).f", "2.50"),
        ("values({a: f})", "[1.10]"),
        ("map(&f, list)", "[2.50,1.0]"),
        ("merge({a: `1`}, {a: f})", '{"a":1.10}'),
        ("to_string(f)", '"1.10"'),
        ("to_string(list)", '"[{\\"f\\":2.50},{\\"f\\":1.0}]"'),
        ("to_number('1.10')", "1.10"),
        ("to_number('1E400')", "1E400"),
        ("to_number('12')", "12"),
        ("type(f)", '"number"'),
        ("contains([f], `1.1`)", "true"),
        ("big > long", "false"),
        ("not_null(f)", "1.10"),
        ("sum([f, `1`])", "2.1"),
        ("abs(minus)", "0.0"),
        ("half", '"\\ud800"'),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_numbers_keep_their_spelling_unless_computed(text: str, found: str, strict: bool) -> None:
    """Values that an expression only moves are written as they were read, lone surrogates too."""
    record = decode_spelled(
        b'{"f":1.10,"e":1e2,"big":1E400,"minus":-0,"long":%b,"half":"\\ud800",'
        b'"list":[{"f":2.50},{"f":1.0}]}' % LONG.encode()
    )
    value = Expression("body", text, strict=strict).search(record)
    assert encode_json(value).decode() == found


@pytest.mark.parametrize(
    "text", ["sum(n)", "abs(n[0])", "avg(n)", "ceil(n[0])", "floor(n[0])", "sum(i)", "avg(i)"]
)
def test_computed_number_that_json_cannot_hold_is_an_error(text: str) -> None:
    """A sum too large for JSON or Python is sent neither as null nor as another number."""
    record = decode_spelled(b'{"n":[1E400],"i":[%b,%b]}' % (b"9" * 4300, b"9" * 4300))
    with pytest.raises(ExpressionError, match=r"^body: "):
        Expression("body", text, strict=True).search(record)


NUMBERS = st.one_of(
    st.sampled_from(["1e1000", "-1E+999", "1e-1000", "-0", "1.10", "9" * 400, "9" * 5000, "1e308"]),
    st.builds("{}e{}".format, st.integers(), st.integers(-2000, 2000)),
)
TREES = st.recursive(
    NUMBERS | st.sampled_from(['"x"', '"\\ud800"', "true"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"{key}":{item}' for key, item in items.items()) + "}"
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        *(("@", "%b"), ("{k: @}", '{"k":%b}'), ("[@, @]", "[%b,%b]"), ("to_array([@])", "[%b]")),
        *(("not_null(@)", "%b"), ("@ || `1`", "%b"), ("values({k: @})", "[%b]")),
        *(
            ("merge({k: @}, {l: @})", '{"k":%b,"l":%b}'),
            ("[[@]][0]", "[%b]"),
            ("[@][?`true`]", "[%b]"),
        ),
        *(("map(&{k: @}, [@])", '[{"k":%b}]'), ("reverse([@])", "[%b]"), ("[@, @][]", None)),
        *(("from_json(to_json(@))", "%b"), ("sort_by([@], &`1`)", "[%b]"), ("([@]) | [0]", "%b")),
    ],
)
@given(tree=TREES)
def test_a_number_that_is_moved_is_never_changed(text: str, form: str | None, tree: str) -> None:
    """Whatever its size, it comes out as it is spelled; it is never null."""
    record = tree.encode()
    expression = Expression("select", text, strict=False)
    is_false = tree in ("[]", "{}")
    found = encode_json(expression.search(decode_spelled(record)))
    if form is None:
        assert b"null" not in found
    elif not (is_false and "||" in text):
        assert found == form.encode().replace(b"%b", record)
