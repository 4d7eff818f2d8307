"""The fastest program on aiohttp that we could write: as many workers for an API as it has slots.

Records are sent as the bytes that they are, responses are validated and written as they came, and
lines are written in input order as soon as they are complete.

python benchmarks/rivals/aiohttp_workers.py [--limit N] RECORDS URL...
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence

import aiohttp
import msgspec
import uvloop

_HEADERS = {"Content-Type": "application/json"}


class Results:
    """Write the lines of records in input order, each once all its outcomes are there."""

    def __init__(self, records: Sequence[bytes], apis: int) -> None:
        self._records = records
        self._outcomes: list[list[bytes]] = [[b""] * apis for _ in records]
        self._missing = [apis] * len(records)
        self._head = 0

    def add(self, index: int, api: int, outcome: bytes) -> None:
        """Record an outcome, and write what is complete."""
        self._outcomes[index][api] = outcome
        self._missing[index] -= 1
        if index != self._head:
            return
        lines = []
        while self._head < len(self._records) and not self._missing[self._head]:
            lines.append(self._line(self._head))
            self._outcomes[self._head] = []
            self._head += 1
        sys.stdout.buffer.writelines(lines)

    def _line(self, index: int) -> bytes:
        results = b",".join(b'"%c":%b' % pair for pair in zip(b"abc", self._outcomes[index]))
        return b'{"index":%d,"record":%b,"results":{%b}}\n' % (index, self._records[index], results)


async def work(
    session: aiohttp.ClientSession,
    url: str,
    records: Iterator[tuple[int, bytes]],
    api: int,
    results: Results,
) -> None:
    """Send the records that are left, one after another."""
    for index, record in records:
        async with session.post(url, data=record, headers=_HEADERS) as response:
            body = await response.read()
        msgspec.json.decode(body)  # raises an error unless it is JSON
        results.add(index, api, b'{"status":%d,"body":%b}' % (response.status, body))


def load(path: str) -> list[bytes]:
    with open(path, "rb") as file:
        return file.read().splitlines()


async def main(records: list[bytes], urls: list[str], limit: int) -> None:
    results = Results(records, len(urls))
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        for api, url in enumerate(urls):
            rest = iter(enumerate(records))  # its workers take turns
            for _ in range(limit):
                group.create_task(work(session, url, rest, api, results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("records")
    parser.add_argument("urls", nargs="+")
    options = parser.parse_args()
    uvloop.run(main(load(options.records), options.urls, options.limit))
