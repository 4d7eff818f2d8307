"""URI templates: expansion, and the values that it rejects."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.requests.url_template import UnsafeExpansion, UrlTemplate

RECORD: dict[str, Any] = {
    "id": 7,
    "name": "a b/c",
    "user": {"id": "u1", "tags": ["x", "y"]},
    "user.id": "dotted",
    "yes": True,
    "price": 1.5,
    "none": None,
    "é": "ü",
    "First Name": "Ann",
    "Amount (EUR)": "1,50",
}


@pytest.mark.parametrize(
    ("template", "target"),
    [
        ("/users/{id}", "/users/7"),
        ("/users/{user.id}", "/users/dotted"),
        ("/tags/{user.tags.1}", "/tags/y"),
        ("/n/{name}", "/n/a%20b%2Fc"),
        ("/n/{+name}", "/n/a%20b/c"),
        ("/n{/id,price}", "/n/7/1.5"),
        ("/n{?id,yes}", "/n?id=7&yes=true"),
        ("/n?v=1{&id}", "/n?v=1&id=7"),
        ("/t{?user.tags*}", "/t?user.tags=x&user.tags=y"),
        ("/p/{name:1}", "/p/a"),
        ("{?id}", "/?id=7"),
        ("/%C3%A9/{é}", "/%C3%A9/%C3%BC"),
        ("/%C3%A9/{%C3%A9}", "/%C3%A9/%C3%BC"),
        ("/{First%20Name}{?First%20Name:1}", "/Ann?First%20Name=A"),
        ("/{+Amount%20%28EUR%29}", "/1,50"),
    ],
)
def test_template_expands_by_rfc_6570(template: str, target: str) -> None:
    """Fields, dotted paths, numbers and booleans expand in all supported operators."""
    assert UrlTemplate(template).expand(RECORD) == target


@pytest.mark.parametrize(
    ("template", "target"),
    [
        ("/n{?id,none,missing}", "/n?id=7"),
        ("/n{?missing,none}", "/n"),
        ("/n{?missing}{&id}", "/n?id=7"),
        ("/n{?missing}&v=1", "/n?v=1"),
        ("/n?v=1{&missing,id}", "/n?v=1&id=7"),
        ("/n{?user.missing,id*}", "/n?id=7"),
        ("{?missing}", "/"),
        ("/n{/missing?,id}", "/n/7"),
        ("/n{/missing?}{?id}", "/n?id=7"),
        ("/n/{id?}", "/n/7"),
        ("/n/{none?}", "/n/"),
        ("/n/{missing?}/x", "/n//x"),
        ("/p/{name?:1}{+missing?}", "/p/a"),
        ("/t{/user.tags?*}", "/t/x/y"),
        ("/{First%20Name?}{/Last%20Name?}{?Last%20Name,First%20Name}", "/Ann?First%20Name=Ann"),
    ],
)
def test_undefined_fields_are_left_out_where_the_template_says_so(
    template: str, target: str
) -> None:
    """That is in a query, and after a name with a question mark (RFC 6570, section 3.2.1)."""
    assert UrlTemplate(template).expand(RECORD) == target


@pytest.mark.parametrize("template", ["/{id}{?id}", "/{id?}{id}", "/{id}{/id?}"])
def test_a_field_that_is_needed_somewhere_is_needed(template: str) -> None:
    """A place where it may be missing does not make up for one where it may not."""
    with pytest.raises(MissingField, match=r"^id$"):
        UrlTemplate(template).expand({})


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_an_optional_field_is_as_safe_as_another(value: str) -> None:
    """Only a field that is not there leaves its segment empty, not one that is empty."""
    with pytest.raises(UnsafeExpansion):
        UrlTemplate("/users/{name?}/{id?}").expand({"name": value})


def test_record_that_is_not_an_object_is_called_value() -> None:
    """A line of text has no fields of its own."""
    assert UrlTemplate("{+value}").expand("/users/1") == "/users/1"


@pytest.mark.parametrize(
    "template", ["/{", "/}", "/{a", "/{}", "/{a b}", "/{#a}", "/{=a}", "/{{a}}"]
)
def test_invalid_template_is_a_configuration_error(template: str) -> None:
    """Fragment expansion is not supported either."""
    with pytest.raises(ConfigError, match="invalid URI template"):
        UrlTemplate(template)


@pytest.mark.parametrize("name", ["missing", "none", "user.missing", "user.tags.2", "id.x", "user"])
def test_template_names_the_missing_field(name: str) -> None:
    """A field that is missing, null or not text does not become an empty string."""
    with pytest.raises(MissingField, match=name):
        UrlTemplate(f"/x/{{{name}}}").expand({**RECORD, "user": {"id": {"deep": []}, "tags": []}})


HOSTILE = ["..", ".", "", "../../admin", "a b?x#y", "@evil.test/", "//host", "\r\nX: y", "%2e%2e"]
TEXTS = st.sampled_from(HOSTILE) | st.text(st.sampled_from("./%2eE?#@:\\ \r\nab\0é")) | st.text()


@given(TEXTS)
def test_no_text_changes_the_shape_of_the_path(text: str) -> None:
    """Any value gives the same number of segments and the same query, or an error."""
    try:
        target = UrlTemplate("/users/{name}/posts{?name}").expand({"name": text})
    except (UnsafeExpansion, UnicodeEncodeError):
        return
    path, _, query = target.partition("?")
    first, users, name, posts = path.split("/")
    assert (first, users, posts) == ("", "users", "posts")
    assert unquote(name) == text
    assert name not in ("", ".", "..")
    assert query == f"name={name}"
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target


@given(TEXTS)
def test_reserved_expansion_cannot_climb_or_end_the_path(text: str) -> None:
    """`{+name}` allows slashes, but no step up, no empty segment, and no query."""
    try:
        target = UrlTemplate("/files/{+name}").expand({"name": text})
    except (UnsafeExpansion, UnicodeEncodeError):
        return
    segments = target.split("/")
    assert segments[:2] == ["", "files"]
    assert not {"", ".", ".."} & {unquote(segment) for segment in segments[2:]}
    assert not set("?# \r\n") & set(target)


@pytest.mark.parametrize("template", ["/users/{id}/x", "/users{+id}"])
@pytest.mark.parametrize(
    "value", ["../admin", "a/../../b", "..%2fadmin", "..\\admin", "a/..;/b", "..;x", "%2e%2e/a"]
)
def test_no_server_can_decode_a_step_up_from_a_value(template: str, value: str) -> None:
    """Servers may decode slashes, read backslashes as slashes, or cut segments at a semicolon."""
    value = f"/{value}" if "+" in template else value
    if "%" in value and "+" not in template:
        assert UrlTemplate(template).expand({"id": value}).count("/") == 3  # encoded once more
        return
    with pytest.raises(UnsafeExpansion) as caught:
        UrlTemplate(template).expand({"id": value})
    assert "users" not in str(caught.value)


def test_a_record_cannot_forge_results() -> None:
    """A key of the record that contains the dots does not stand in for `_results`."""
    record = {"_results.a.body.id": "evil", "_results": {"a": {"body": {"id": "real"}}}}
    assert UrlTemplate("/{_results.a.body.id}").expand(record) == "/real"


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_that_json_lacks_is_missing(value: float) -> None:
    """NaN and infinity have no spelling in JSON."""
    with pytest.raises(MissingField):
        UrlTemplate("/{n}").expand({"n": value})
