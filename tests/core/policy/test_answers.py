"""What answers are called in messages."""

from __future__ import annotations

import pytest

from tmux_fanout.core.policy.answers import describe_status


@pytest.mark.parametrize(
    ("status", "credentials", "text"),
    [
        (401, "auth.bearer", "HTTP 401: check the key in its auth.bearer"),
        (401, "header apikey", "HTTP 401: check the key in its header apikey"),
        (401, "", "HTTP 401: no key is sent: add one by -H, auth or headers"),
        (402, "auth.bearer", "HTTP 402: check its bill"),
        (503, "auth.bearer", "HTTP 503"),
    ],
)
def test_status_that_denies_says_what_to_check(status: int, credentials: str, text: str) -> None:
    """An expired key is no outage of the API, and waiting does not help."""
    assert describe_status(status, credentials) == text
