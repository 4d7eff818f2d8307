"""Results into lines of output: `--emit envelope`.

Records and bodies are JSON text already and are pasted in as they are; only errors are encoded.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import msgspec

from tmux_fanout.core.errors import CallError
from tmux_fanout.core.jsontext import encode_text
from tmux_fanout.core.outcome import Outcome, Result

_encode = msgspec.json.Encoder().encode


def envelope_encoder(names: Sequence[str]) -> Callable[[Result], bytes]:
    """A function that encodes results as lines, for APIs of these names.

    The lines have the keys `index`, `record`, `ok`, `results`, or, where the record was invalid,
    `index`, `ok`, `error`, `raw`; they end with a line break.
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


def encode_outcome(outcome: Outcome) -> bytes:
    """One outcome as a JSON object: `ok`, `status`, `body`, `error`, `attempts`, `seconds`."""
    if outcome.ok and outcome.content is not None and outcome.content.encoding is None:
        return b'{"ok":true,"status":%d,"body":%b,"attempts":%d,"seconds":%.4f}' % (
            outcome.status or 0,
            outcome.content.json,
            outcome.attempts,
            outcome.seconds,
        )
    parts = [b'"ok":' + (b"true" if outcome.ok else b"false")]
    if outcome.status is not None:
        parts.append(b'"status":%d' % outcome.status)
    if outcome.content is not None:
        parts.append(b'"body":' + outcome.content.json)
        if outcome.content.encoding:
            parts.append(b'"encoding":' + encode_text(outcome.content.encoding))
    if outcome.error is not None:
        parts.append(b'"error":' + encode_error(outcome.error))
    parts.append(b'"attempts":%d,"seconds":%.4f' % (outcome.attempts, outcome.seconds))
    return b"{" + b",".join(parts) + b"}"


def encode_error(error: CallError) -> bytes:
    """An error as a JSON object: `kind`, `message`, and `ambiguous` where it is true."""
    fields: dict[str, object] = {"kind": error.kind, "message": error.message}
    if error.ambiguous:
        fields["ambiguous"] = True
    return _encode(fields)


def _raw(line: bytes) -> bytes:
    """The invalid line as it was; nothing of one that was too long to keep."""
    if not line:
        return b""
    try:
        return b',"raw":' + encode_text(line.decode())
    except UnicodeDecodeError:
        return b',"raw":"' + base64.b64encode(line) + b'","encoding":"base64"'
