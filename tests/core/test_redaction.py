"""Redaction: the parts of settings that are shown, and those that are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.redaction import (
    hide_in,
    is_secret_name,
    redact_header,
    redact_response,
    redact_setting,
    redact_url,
)

CANARY = "s3cret"


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "apikey", "api_key"),
        *("access_token", "X-Amz-Security-Token", "X-Amz-Signature", "sig", "client_secret"),
        *("password", "passwd", "PASS", "userPwd", "sessionId", "JWT", "subscription-key", "SID"),
    ],
)
def test_is_secret_name_recognises_names_of_secrets(name: str) -> None:
    """Spelling and case do not matter."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["", "Accept", "Content-Type", "lang", "passage", "design", "side", "page", "X-Trace"]
)
def test_is_secret_name_ignores_other_names(name: str) -> None:
    """Values under other names are shown."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p?q=1&lang=en", "https://h/p?q=1&lang=en"),
        ("https://h:8443/{id}{?lang}", "https://h:8443/{id}{?lang}"),
        ("https://user:s3cret@h/p", "https://***:***@h/p"),
        ("https://s3cret@h", "https://***@h"),
        ("https://a@s3cret:s3cret@h/@me", "https://***:***@h/@me"),
        ("https://${USER}:${PASS}@${HOST}/p", "https://${USER}:${PASS}@${HOST}/p"),
        ("https://user:${PASS}@h/", "https://***:${PASS}@h/"),
        ("https://${s3cret:s3cret@h/", "https://***:***@h/"),
        ("https://${s3-cret}@h/", "https://***@h/"),
        ("s3cret:s3cret@h:3128", "***:***@h:3128"),
        ("${BASE}/p?key=s3cret", "${BASE}/p?key=***"),
        ("https://h/?key=s3cret&b=2", "https://h/?key=***&b=2"),
        ("https://h/?b=2&api%4bey=s3cret/s3cret;s3cret", "https://h/?b=2&api%4bey=***"),
        ("https://h/?b=2;token=s3cret", "https://h/?b=2;token=***"),
        ("https://h/p;token=s3cret/x", "https://h/p;token=***"),
        ("https://h/p{?lang}&token=s3cret", "https://h/p{?lang}&token=***"),
        ("https://h/?key=${KEY}&token={token}{&x}", "https://h/?key=${KEY}&token={token}{&x}"),
        ("https://h/?key=a${KEY}b", "https://h/?key=***${KEY}***"),
        ("https://h/?key=s3cret#s3cret", "https://h/?key=***"),
        ("/users/{user.id}@x", "/users/{user.id}@x"),
        ("", ""),
    ],
)
def test_redact_url_hides_userinfo_and_secret_parameters(url: str, shown: str) -> None:
    """The rest of a URL stays as written, so that it can be recognised."""
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Accept", "text/plain", "text/plain"),
        ("Authorization", "Bearer s3cret", "Bearer ***"),
        ("authorization", "Bearer ${TOKEN}", "Bearer ${TOKEN}"),
        ("Authorization", "s3cret", "***"),
        ("X-Api-Key", "{tenant.key}", "{tenant.key}"),
        ("X-Api-Key", "v1-${KEY}", "***${KEY}"),
        ("Cookie", "a=s3cret; b=${B}", "***${B}"),
        ("X-Upstream", "Basic czNjcmV0", "Basic ***"),
        ("X-Api-Key", "", ""),
    ],
)
def test_redact_header_shows_variables_and_fields_only(name: str, value: str, shown: str) -> None:
    """Variables are shown as written; literal secrets are not."""
    assert redact_header(name, value) == shown


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("headers", {"X-Key": "s3cret", "Accept": "a"}, {"X-Key": "***", "Accept": "a"}),
        ("proxy", "http://u:s3cret@p:3128", "http://***:***@p:3128"),
        ("endpoints", ["https://s3cret@eu/", "https://us/"], ["https://***@eu/", "https://us/"]),
        ("auth", {"bearer": "s3cret"}, {"bearer": "***"}),
        ("auth", {"bearer": "${TOKEN}"}, {"bearer": "${TOKEN}"}),
        ("auth", {"basic": ["u", "${PASS}"]}, {"basic": ["***", "${PASS}"]}),
        (
            "auth",
            {
                "oauth2": {
                    "token_url": "https://u:s3cret@h/token?key=s3cret",
                    "client_id": "me",
                    "client_secret": "s3cret",
                    "scope": "read",
                    "auth_method": "post",
                    "params": {"audience": "a", "resource": ["b", "c"], "user": "s3cret"},
                }
            },
            {
                "oauth2": {
                    "token_url": "https://***:***@h/token?key=***",
                    "client_id": "me",
                    "client_secret": "***",
                    "scope": "read",
                    "auth_method": "post",
                    "params": {"audience": "a", "resource": ["b", "c"], "user": "***"},
                }
            },
        ),
        ("auth", {"digest": ["u", "${PASS}"]}, {"digest": ["***", "${PASS}"]}),
        (
            "auth",
            {"call": "a:b", "key": "s3cret", "url": "s3cret", "scope": "s3cret", "n": 5},
            {"call": "a:b", "key": "***", "url": "***", "scope": "***", "n": "***"},
        ),
        (
            "auth",
            {"call": "a:b", "pins": [12, 3.4], "more": {"pin": 56}, "v2": True},
            {"call": "a:b", "pins": ["***", "***"], "more": {"pin": "***"}, "v2": True},
        ),
        (
            "endpoints",
            [{"url": "https://eu/", "auth": {"call": "a:b", "more": {"scope": ["s3cret"]}}}],
            [{"url": "https://eu/", "auth": {"call": "a:b", "more": {"scope": ["***"]}}}],
        ),
        ("tls", {"key": "client.pem", "verify": True}, {"key": "client.pem", "verify": True}),
        ("batch", {"size": 5, "key": "id"}, {"size": 5, "key": "id"}),
        ("limit", 5, 5),
        ("select", "token", "token"),
    ],
)
def test_redact_setting_knows_each_key(key: str, value: Any, shown: Any) -> None:
    """Tables and lists are searched; paths and expressions are not secret."""
    assert redact_setting(key, value) == shown


piece = st.sampled_from(
    ["${V}", "${V", "}", "{id}", "{&x}", ":", "@", "/", ";", "%40", "$", "a", " ", "é", "\n"]
)
junk = st.lists(piece, max_size=6).map("".join)


@given(junk.filter(lambda text: "/" not in text and "{" not in text), junk, junk)
def test_redact_url_never_shows_userinfo_or_a_secret_parameter(a: str, b: str, c: str) -> None:
    """The secrets of a URL are hidden, whatever surrounds them."""
    assert CANARY not in redact_url(f"https://{a}{CANARY}{a}@h/{b}?key={CANARY}{c}")


def test_redact_url_is_fast_with_many_variables() -> None:
    """A long run of variables does not backtrack."""
    assert redact_url("${A}" * 5000) == "${A}" * 5000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"error": "bad key", "type": "auth"}', '{"error": "bad key", "type": "auth"}'),
        ('{"X-Api-Key": "s3cret"}', '{"X-Api-Key": "***"}'),
        ('{"token":"s3cret \\"s3cret","a":"b"}', '{"token":"***","a":"b"}'),
        ('{"password": "s3cret', '{"password": "***'),
        ('"{\\"api_key\\": \\"s3cret\\", \\"a\\": 1}"', '"{\\"api_key\\": \\"***\\", \\"a\\": 1}"'),
        ('{"got": "Bearer s3cret-s3cret"}', '{"got": "Bearer ***"}'),
        ("Bearer authentication required", "Bearer authentication required"),
        ("no such page: /v1?api_key=s3cret&lang=en", "no such page: /v1?api_key=***&lang=en"),
        ("token=", "token="),
        ("", ""),
    ],
)
def test_redact_response_hides_credentials_that_come_back(text: str, shown: str) -> None:
    """In members of JSON, also inside a string, as credentials of a header, and as parameters."""
    assert redact_response(text) == shown


@given(st.text(alphabet='\\":={} &aBearer1token', max_size=60))
def test_redact_response_takes_any_text(text: str) -> None:
    """Whatever it is, what is shown is stable."""
    assert redact_response(redact_response(text)) == redact_response(text)


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("nothing here", ["s3cret"], "nothing here"),
        ("it is s3cret, s3cret", ["s3cret"], "it is ***, ***"),
        ("s3crets3cret", ["s3cret"], "***"),
        ("cut: correct-hor...", ["correct-horse-battery"], "cut: ***..."),
        ("end: -battery", ["correct-horse-battery"], "end: ***"),
        ("correct", ["correct-horse-battery"], "correct"),
        ("abcdefghij", ["abcdefgh", "cdefghij"], "***"),
        ("a-b-a", ["a"], "***-b-***"),
        ("", ["s3cret"], ""),
        ("text", ["", "longer than the text"], "text"),
    ],
)
def test_hide_in_hides_secrets_and_long_parts_of_them(
    text: str, secrets: list[str], shown: str
) -> None:
    """A part that is cut off is hidden too; short words that a secret happens to have are not."""
    assert hide_in(text, secrets) == shown
