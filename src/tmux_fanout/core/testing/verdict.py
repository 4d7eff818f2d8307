"""Judge a test: compare what it expects with what was sent and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.http.urls import expand_variables
from tmux_fanout.core.json_text import NotJSON, check_json, decode_json
from tmux_fanout.core.redaction import (
    HIDDEN,
    is_secret_name,
    redact_header,
    redact_response,
    redact_url,
)
from tmux_fanout.core.testing.matching import NOTHING, Difference, differences, show
from tmux_fanout.core.testing.statement import ConfigTest, ExpectedRequests, Reply
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.uploads.form import Upload


class Sent(NamedTuple):
    """A request of an API, and the reply to it.

    Attributes:
        api: name of the API.
        request: the request.
        reply: the one in the test; None: there is none, which ends the test.
        is_token: whether it asks for a token.
        records: indexes of the records that it is for.
        keys: of their items, if it is a batch.
    """

    api: str
    request: Request
    reply: Reply | None
    is_token: bool = False
    records: Sequence[int] = ()
    keys: Sequence[bytes] = ()

    def __str__(self) -> str:
        head = self.request.head
        # The body of a request for a token has the secret of its client.
        text = b"" if self.is_token else self.request.content
        body = printable(redact_response(text.decode(errors="replace")), 200)
        return "  ".join(
            filter(None, [f"{head.method} {printable(redact_url(head.url), 200)}", body])
        )


class Observed(NamedTuple):
    """What happened in a test.

    Attributes:
        results: the lines of output, in the order of the records.
        sent: the requests, in order.
        left: number of unused replies by API; those for tokens by `NAME token`.
        notices: lines for the user.
        ended: why the test was stopped, or "".
    """

    results: Sequence[Mapping[str, Any]]
    sent: Sequence[Sent]
    left: Mapping[str, int]
    notices: Sequence[str] = ()
    ended: str = ""


def mistakes(test: ConfigTest, observed: Observed, env: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each mistake; none if the test passes.

    Args:
        test: what is expected.
        observed: what happened.
        env: the placeholders for variables, which expected requests may name.
    """
    if observed.ended:
        yield observed.ended
    yield from _unanswered(test, observed)
    for name, number in observed.left.items():
        yield _left_over(name, number, observed)
    for name, expected in test.expect_request.items():
        requests = [s.request for s in observed.sent if s.api == name and not s.is_token]
        yield from map(str, _in_requests(name, _expanded(expected, env), requests))
    if test.expect is not None and not observed.ended and None not in map(_reply, observed.sent):
        yield from map(str, _in_results(test.expect, observed.results))


def _reply(sent: Sent) -> Reply | None:
    return sent.reply


def _unanswered(test: ConfigTest, observed: Observed) -> Iterator[str]:
    for sent in observed.sent:
        if sent.reply is None:
            key = f"{'tokens' if sent.is_token else 'replies'}.{sent.api}"
            stated = (test.tokens if sent.is_token else test.replies).get(sent.api, ())
            number = counted(len(stated), "reply").replace("replys", "replies")
            has = f"there is {number}" if len(stated) == 1 else f"there are {number}"
            why = f"{has}, and request {len(stated) + 1} was sent" if stated else "no reply"
            yield f"{key}: {why}: {sent}"


def _left_over(name: str, number: int, observed: Observed) -> str:
    api, _, token = name.partition(" ")
    key = f"{'tokens' if token else 'replies'}.{api}"
    sent = sum(s.api == api and s.is_token == bool(token) for s in observed.sent)
    was = f"{sent} {'was' if sent == 1 else 'were'} sent" if sent else "none was sent"
    return f"{key}: expected {counted(number + sent, 'request')}, {was}"


def _expanded(expected: ExpectedRequests, env: Mapping[str, str]) -> ExpectedRequests:
    return expected._replace(parts=[_with_variables(part, env) for part in expected.parts])


def _with_variables(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return expand_variables(value, env)
    if isinstance(value, Mapping):
        return {key: _with_variables(item, env) for key, item in value.items()}
    return [_with_variables(item, env) for item in value] if isinstance(value, list) else value


def _in_requests(
    name: str, expected: ExpectedRequests, requests: Sequence[Request]
) -> Iterator[Difference]:
    is_listed = not expected.is_first
    if len(requests) < len(expected.parts) or (is_listed and len(requests) > len(expected.parts)):
        wanted = counted(len(expected.parts), "request")
        yield Difference(f"expect_request.{name}", wanted, str(len(requests) or "none"))
    for number, (part, request) in enumerate(zip(expected.parts, requests), 1):
        path = f"request {number} to {name}" if is_listed else f"request to {name}"
        yield from _in_request(path, part, request)


def _in_request(path: str, part: Mapping[str, Any], request: Request) -> Iterator[Difference]:
    head = request.head
    for key, expected in part.items():
        at = f"{path}: {key}"
        if key == "method":
            yield from differences(expected.upper(), head.method, at)
        elif key == "url":
            got = head.target if expected.startswith("/") else head.url
            yield from _hidden(at, expected, got, redact_url)
        elif key == "headers":
            headers = {name.lower(): value for name, value in head.headers}
            for name, value in expected.items():
                if name.lower() not in headers:
                    yield Difference(f"{at}.{name}", show(value), NOTHING)
                else:
                    redact = partial(redact_header, name)
                    yield from _hidden(f"{at}.{name}", value, headers[name.lower()], redact)
        else:
            yield from map(_without_secret, _in_body(at, expected, request))


def _hidden(
    path: str, expected: Any, got: str, redact: Callable[[str], str]
) -> Iterator[Difference]:
    """Yield where a text differs, if it does, as it may be shown."""
    if expected == got:
        return
    shown = redact(expected) if isinstance(expected, str) else expected
    if shown == redact(got):
        yield Difference(path, show(shown), "another value")
    else:
        yield from differences(shown, redact(got), path)


def _without_secret(difference: Difference) -> Difference:
    """Hide the values of a field whose name says that it is a secret."""
    key = difference.path.rpartition(".")[2].partition("[")[0]
    if is_secret_name(key):
        return difference._replace(expected=HIDDEN, got="another value")
    return difference


def _in_body(path: str, expected: Any, request: Request) -> Iterator[Difference]:
    """Yield where a body differs; text is compared with it as it is, else as a value of JSON.

    A form with files is its fields by name, those of files with their paths.
    """
    body = request.content
    if isinstance(request.body, Upload):
        files = {file.name: file.path for file in request.body.files}
        yield from differences(expected, {**request.body.fields, **files}, path)
        return
    if request.body is None:
        yield Difference(path, show(expected), NOTHING)
        return
    text = body.decode(errors="surrogateescape")
    if expected == text:
        return
    try:
        check_json(body)
        got = decode_json(body)
    except NotJSON:
        got = text
    yield from differences(expected, got, path)


def _in_results(
    expected: Sequence[Any], results: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    if len(expected) != len(results):  # the run was given up
        yield Difference("results", counted(len(expected), "line"), str(len(results) or "none"))
    for index, (part, result) in enumerate(zip(expected, results)):
        for each in differences(part, result):
            is_one = len(expected) == 1
            yield each if is_one else each._replace(path=f"record {index}: {each.path}")
