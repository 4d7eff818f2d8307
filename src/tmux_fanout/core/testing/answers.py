"""What the APIs of tests answer to each record, so that runs with faults can answer the same.

The answers to a record are those that it got in its own test, in turn: the first ok answer is to
its first request, the next one to what follows that, such as the next page or poll.  In a batch, a
record has its own item.  A record whose call failed in its test gets the answers of another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.json_text import NotJSON, check_json, decode_spelled, encode_json
from tmux_fanout.core.requests.batch import BatchPlan, key_in
from tmux_fanout.core.requests.expressions import ExpressionError
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.testing.statement import Reply
from tmux_fanout.core.testing.verdict import Observed, Sent

_Path = tuple[str | int, ...]


class Item(NamedTuple):
    """What a reply has for one record.

    Attributes:
        reply: the reply.
        path: leads to the list of items in its body; None: the whole reply is for the record.
        value: the item in that list.
        key: that its batch has for it, or b"".
    """

    reply: Reply
    path: _Path | None = None
    value: Any = None
    key: bytes = b""


class Asked(NamedTuple):
    """A record that a request is made for.

    Attributes:
        place: among the records of all tests.
        step: number of ok answers that it has had from the API.
        key: of its item in a batch, or b"".
    """

    place: int
    step: int
    key: bytes


class Answers:
    """The ok answers of one API.

    Args:
        api: the API.
        observed: what happened in each test, with the number of its records.
    """

    def __init__(self, api: ApiPlan, observed: Sequence[tuple[Observed, int]]) -> None:
        self._batch = api.batch
        self._series: dict[int, list[Item]] = {}
        before = 0
        for each, records in observed:
            results = {line["index"]: line.get("results", {}) for line in each.results}
            for sent in each.sent:
                if sent.api == api.name and not sent.is_token and _is_good(sent, api):
                    for record, item in zip(sent.records, _items(sent, api.batch)):
                        if results.get(record, {}).get(api.name, {}).get("ok"):
                            self._series.setdefault(before + record, []).append(item)
            before += records

    def __repr__(self) -> str:
        return f"<Answers to {len(self._series)} records>"

    def find(self, asked: Sequence[Asked], choice: float) -> Reply | None:
        """Return the answer to a request; None if no test has one.

        Args:
            asked: the records that it is made for.
            choice: a number below 1, which chooses whose answers others get.
        """
        if not self._series:
            return None
        items = [self._item(each, choice) for each in asked]
        return _together(items, [each.key for each in asked], self._batch)

    def _item(self, asked: Asked, choice: float) -> Item:
        series = self._series.get(asked.place)
        if series is None:
            others = list(self._series.values())
            series = others[int(choice * len(others))]
        return series[min(asked.step, len(series) - 1)]


def _is_good(sent: Sent, api: ApiPlan) -> bool:
    reply = sent.reply
    if reply is None or reply.error or reply.delay >= api.attempt_timeout:
        return False
    return reply.status < 300


def _items(sent: Sent, batch: BatchPlan | None) -> Iterator[Item]:
    """Yield what a reply has for each of the records of its request."""
    reply = sent.reply
    assert reply is not None  # it is good
    if batch is None:
        yield from [Item(reply)] * len(sent.records)
        return
    found = _list_in(reply, batch)
    if found is None:
        return
    path, values, seen = found
    if batch.key is None:
        yield from (Item(reply, path, value) for value in values)
        return
    keyed = {_key_of(item, batch.key): value for item, value in zip(seen, values)}
    for key in sent.keys:
        if key in keyed:
            yield Item(reply, path, keyed[key], key)
        else:
            yield Item(reply, path, values[0] if values else None)


def _list_in(reply: Reply, batch: BatchPlan) -> tuple[_Path, list[Any], list[Any]] | None:
    """Return where the list of a reply to a batch is, what it holds, and the items made of that."""
    try:
        if _is_lines(reply, batch):
            lines = [_decoded(line) for line in reply.body.split(b"\n") if line.strip()]
            return (), lines, lines
        body = _decoded(reply.body)
        if batch.items is None:
            return ((), body, body) if isinstance(body, list) else None
        found = batch.items.search(body)
        for path, values in _lists(body, ()) if isinstance(found, list) else ():
            first = batch.items.search(_with(body, path, values[:1]))
            if len(values) == len(found) and first == found[:1]:
                return path, values, found
    except (NotJSON, ExpressionError, MissingField, RecursionError):
        pass
    return None


def _decoded(text: bytes) -> Any:
    check_json(text)
    return decode_spelled(text)


def _is_lines(reply: Reply, batch: BatchPlan) -> bool:
    kind = dict(reply.headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
    return batch.items is None and batch.format == "ndjson" and kind != b"application/json"


def _lists(value: Any, path: _Path) -> Iterator[tuple[_Path, list[Any]]]:
    """Yield the lists in a value, outer ones first."""
    if isinstance(value, list):
        yield path, value
    pairs = value.items() if isinstance(value, Mapping) else ()
    for key, below in enumerate(value) if isinstance(value, list) else pairs:
        yield from _lists(below, (*path, key))


def _with(value: Any, path: _Path, items: Sequence[Any]) -> Any:
    """Return a value with other items in the list that a path leads to."""
    if not path:
        return list(items)
    key, *below = path
    changed = list(value) if isinstance(value, list) else dict(value)
    changed[key] = _with(value[key], tuple(below), items)  # type: ignore[index]
    return changed


def _key_of(value: Any, name: str) -> bytes | None:
    try:
        return key_in(encode_json(value), name)
    except MissingField:
        return None


def _together(items: Sequence[Item], keys: Sequence[bytes], batch: BatchPlan | None) -> Reply:
    """Return the reply that has these items; the rest of it is that of the first."""
    first = items[0]
    if first.path is None or batch is None:
        return first.reply
    values = [_keyed(item, key, batch.key) for item, key in zip(items, keys)]
    if _is_lines(first.reply, batch):
        body = b"".join(encode_json(value) + b"\n" for value in values)
    else:
        body = encode_json(_with(_decoded(first.reply.body), first.path, values))
    return replace(first.reply, body=body)


def _keyed(item: Item, key: bytes, name: str | None) -> Any:
    """Return an item, which has the key of another record if it stands in for that one's."""
    if name is None or item.key == key or not isinstance(item.value, Mapping):
        return item.value
    return {**item.value, name: _decoded(key)}
