"""Bodies as servers send them, through the whole command."""

from __future__ import annotations

from typing import Any

import pytest
from support.faults import Against
from support.server import answering, response

LATIN_1 = "application/json; charset=iso-8859-1"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

ANSWERS: dict[str, tuple[bytes, str | None, Any]] = {
    "mark": (response(b'\xef\xbb\xbf{"a": "x"}'), "a", "x"),
    "charset": (response(b'{"a": "caf\xe9"}', f"Content-Type: {LATIN_1}"), "a", "caf\xe9"),
    "no content": (NO_CONTENT, "a", None),
    "no body": (response(b"", "Content-Type: application/json"), "length(a)", None),
    "page": (response(b"caf\xe9", "Content-Type: text/html; charset=latin1"), None, "caf\xe9"),
    "text": (response(b"a caf\xe9", "Content-Type: text/plain; charset=latin1"), "@", "a caf\xe9"),
}


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])
@pytest.mark.parametrize("case", ANSWERS)
def test_a_body_is_what_its_server_says(
    against: Against, case: str, workers: tuple[str, ...]
) -> None:
    """It is ok, and its type can be kept."""
    answer, select, body = ANSWERS[case]
    args = () if select is None else ("--select", select)
    config = '[defaults]\ncapture_headers = ["content-type"]\n'
    ledger = against(answering(answer), *args, *workers, config=config)
    assert ledger.status == 0
    for outcome in ledger.outcomes():
        assert (outcome["ok"], outcome["body"]) == (True, body)
        assert ("content-type" in outcome["headers"]) == (b"Content-Type" in answer)
        assert "encoding" not in outcome


def test_a_page_where_json_is_expected_is_not_ok(against: Against) -> None:
    """Its fields would all be null; the message says what came."""
    answer = response(b"<html>sign in</html>", "Content-Type: text/html")
    ledger = against(answering(answer), "--select", "a || 'none'")
    assert ledger.endings() == ["decode in 1"] * 3
    assert ledger.outcomes()[0]["body"] == "<html>sign in</html>"
    assert "(it is text/html)" in ledger.outcomes()[0]["error"]["message"]
