"""Measure the parts that do no I/O, by themselves: what they process per second.

    python benchmarks/pure.py [--rounds N]

Prints a JSON object with a list for each part: its rate in each round, the parts having had their
turn one after the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from tmux_fanout.core.records.framing import LineFramer
from tmux_fanout.core.records.parser import RecordParser
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.requests.url_template import UrlTemplate
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result

_LINE = b'{"line":7,"time":"2026-03-02T09:00:00Z","level":"info","message":"GET /items/7 200"}\n'
_BODY = b'{"score":0.93,"label":"ok"}'
_READ = 65536  # bytes per read
_SIZE = 4 << 20
_TURNS = 20_000
_MB = 1e6
_TEMPLATE = UrlTemplate("/users/{user.id}/items{?lang,page}")
_VALUES = {"user": {"id": "a b/c"}, "lang": "en", "page": 2}

Part = Callable[[], float]


def frame() -> float:
    """Frame lines; return megabytes."""
    framer = LineFramer(_READ)
    read = (_LINE * (_READ // len(_LINE) + 1))[:_READ]
    for _ in range(_SIZE // _READ):
        framer.feed(read)
    return _SIZE / _MB


def parse() -> float:
    """Parse records; return megabytes."""
    line = _LINE.rstrip()
    count = _SIZE // len(_LINE)
    RecordParser("jsonl", _READ).parse([line] * count)
    return count * len(_LINE) / _MB


def _encode() -> tuple[int, int]:
    """Encode envelopes with three bodies each; return lines and bytes."""
    encode = envelope_encoder(["a", "b", "c"])
    (record,) = RecordParser("jsonl", _READ).parse([_LINE.rstrip()])
    size = 0
    for _ in range(_TURNS):
        outcomes = [Outcome(True, 200, embed(_BODY), attempts=1, seconds=0.0123) for _ in range(3)]
        size += len(encode(Result(record, ("a", "b", "c"), outcomes)))
    return _TURNS, size


def encode_lines() -> float:
    """Encode envelopes; return lines."""
    return _encode()[0]


def encode_bytes() -> float:
    """Encode envelopes; return megabytes."""
    return _encode()[1] / _MB


def expand() -> float:
    """Expand URL templates; return how many."""
    for _ in range(_TURNS):
        _TEMPLATE.expand(_VALUES)
    return _TURNS


PARTS: dict[str, Part] = {
    "framing, MB/s": frame,
    "checking of JSON records, MB/s": parse,
    "encoding of envelopes with 3 bodies, MB/s": encode_bytes,
    "the same, lines/s": encode_lines,
    "expansion of URL templates, per second": expand,
}


def rate(part: Part) -> float:
    started = time.perf_counter()
    amount = part()
    return amount / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = [{name: rate(part) for name, part in PARTS.items()} for _ in range(options.rounds + 1)]
    print(json.dumps({name: [done[name] for done in rounds[1:]] for name in PARTS}))
