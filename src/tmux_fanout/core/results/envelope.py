"""Encode results as lines of output: `--emit envelope`, `merge` or `body`.

Records and bodies are JSON text already and are inserted unchanged; only errors are encoded.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import encode_json, encode_text, split_object
from tmux_fanout.core.results.outcome import LineResult, Outcome, Result

Emit = Literal["envelope", "merge", "body"]
EmitForm = Literal["envelope", "merge", "body", "csv", "tsv"]
"""All forms of output; a table is made of envelopes, see `core.conversion`."""


def encode_outcome(outcome: Outcome) -> bytes:
    """Encode an outcome as a JSON object.

    Its keys are `ok`, `status`, `headers`, `body`, `encoding`, `error`, `attempts`, `seconds` and
    `via`, as far as they apply; those of a skipped call are `ok`, `skipped`, `error` and
    `attempts`.
    """
    content = outcome.content
    if (
        outcome.ok
        and content is not None
        and not content.encoding
        and outcome.headers is None
        and not outcome.via
    ):
        return b'{"ok":true,"status":%d,"body":%b,"attempts":%d,"seconds":%.4f}' % (
            outcome.status or 0,
            content.json,
            outcome.attempts,
            outcome.seconds,
        )
    if outcome.skipped:
        if outcome.error is None:
            return b'{"ok":true,"skipped":true,"attempts":0}'
        skipped = b'{"ok":false,"skipped":true,"error":%b,"attempts":0}'
        return skipped % encode_error(outcome.error)
    parts = [b'"ok":' + (b"true" if outcome.ok else b"false")]
    if outcome.status is not None:
        parts.append(b'"status":%d' % outcome.status)
    if outcome.headers is not None:
        parts.append(b'"headers":' + encode_json(outcome.headers))
    if content is not None:
        parts.append(b'"body":' + content.json)
        if content.encoding:
            parts.append(b'"encoding":' + encode_text(content.encoding))
    if outcome.error is not None:
        parts.append(b'"error":' + encode_error(outcome.error))
    parts.append(b'"attempts":%d,"seconds":%.4f' % (outcome.attempts, outcome.seconds))
    if outcome.via:
        parts.append(b'"via":' + encode_text(outcome.via))
    return b"{" + b",".join(parts) + b"}"


def encode_error(error: ErrorInfo) -> bytes:
    """Encode an error as a JSON object: `kind`, `message`, and `ambiguous` if true."""
    fields: dict[str, object] = {"kind": error.kind, "message": error.message}
    if error.ambiguous:
        fields["ambiguous"] = True
    return encode_json(fields)


def envelope_encoder(
    names: Sequence[str], encode_outcome: Callable[[Outcome], bytes] = encode_outcome
) -> Callable[[Result], bytes]:
    """Return a function that encodes results of the APIs with these names as lines.

    A line has the keys `index`, `record`, `ok` and `results`; that of an invalid record has
    `index`, `ok`, `error` and `raw`.  It ends with a line break.
    """
    keys = [encode_text(name) + b":" for name in names]

    def encode(result: Result) -> bytes:
        record = result.source
        if record.error:
            return b'{"index":%d,"ok":false,"error":%b%b}\n' % (
                record.index,
                encode_error(record.error),
                _raw(record.raw),
            )
        results = b",".join([k + encode_outcome(o) for k, o in zip(keys, result.outcomes)])
        return b'{"index":%d,"record":%b,"ok":%b,"results":{%b}}\n' % (
            record.index,
            record.json,
            b"true" if result.ok else b"false",
            results,
        )

    return encode


def merge_encoder(names: Sequence[str]) -> Callable[[Result], bytes]:
    """Return a function that encodes results as the record with one more key per API.

    The key holds the API's body, or null if the outcome is not ok or the call was skipped; it
    replaces a key of the record with that name.  `_errors`, by API, exists only if there are any.
    A record that is not an object becomes `{"value": ...}` first; an invalid one has `raw` instead.
    """

    def encode(result: Result) -> bytes:
        record = result.source
        if record.error:
            errors = b'{"_errors":{"record":%b}%b}\n'
            return errors % (encode_error(record.error), _raw(record.raw))
        merged = split_object(record.json)
        if merged is None:
            merged = {"value": record.json}
        merged.pop("_errors", None)  # of an earlier run
        errors_by_name = {}
        for name, outcome in zip(names, result.outcomes):
            merged[name] = _body(outcome)
            if outcome.error:
                errors_by_name[name] = encode_error(outcome.error)
        if errors_by_name:
            merged["_errors"] = _object(errors_by_name)
        return _object(merged) + b"\n"

    return encode


def body_encoder(names: Sequence[str]) -> Callable[[Result], bytes]:
    """Return a function that encodes results as the body of the only API, or null if not ok.

    Raises:
        ConfigError: There is not exactly one API.
    """
    if len(names) != 1:
        raise ConfigError(f"--emit body needs exactly one API; there are {len(names)}")

    def encode(result: Result) -> bytes:
        return (_body(result.outcomes[0]) if result.outcomes else b"null") + b"\n"

    return encode


ENCODERS: dict[Emit, Callable[[Sequence[str]], Callable[[Result], bytes]]] = {
    "envelope": envelope_encoder,
    "merge": merge_encoder,
    "body": body_encoder,
}


def with_lines(encode: Callable[[Result], bytes]) -> Callable[[Result], bytes]:
    """Return a function that uses the line of a result that has one, and encodes any other."""

    def line_of(result: Result) -> bytes:
        return result.line if isinstance(result, LineResult) else encode(result)

    return line_of


def _object(members: Mapping[str, bytes]) -> bytes:
    """Encode a JSON object from its keys and the JSON of their values."""
    return b"{%b}" % b",".join([b"%b:%b" % (encode_text(k), v) for k, v in members.items()])


def _body(outcome: Outcome) -> bytes:
    return outcome.content.json if outcome.ok and outcome.content else b"null"


def _raw(line: bytes) -> bytes:
    """Return the members with an invalid line, or nothing for one that was too long to keep."""
    if not line:
        return b""
    try:
        return b',"raw":' + encode_text(line.decode())
    except UnicodeDecodeError:
        return b',"raw":"' + base64.b64encode(line) + b'","encoding":"base64"'
