"""The straightforward trio program: one nursery, a limiter for each API, one `httpx.AsyncClient`.

python benchmarks/rivals/httpx_trio.py [--limit N] RECORDS URL...
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import httpx
import trio


async def post(
    client: httpx.AsyncClient,
    limiter: trio.CapacityLimiter,
    url: str,
    record: Any,
    outcomes: dict[str, Any],
) -> None:
    async with limiter:
        response = await client.post(url, json=record)
    outcomes[url] = {"status": response.status_code, "body": response.json()}


def load(path: str) -> list[Any]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


async def main(records: list[Any], urls: list[str], limit: int) -> None:
    results: list[dict[str, Any]] = [{} for _ in records]
    limiters = {url: trio.CapacityLimiter(limit) for url in urls}
    # httpx's limit of 100 connections would be the bottleneck.  Its limit of 20 idle ones stays:
    # the pool compares each idle connection with all others, and is far slower with more of them.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client, trio.open_nursery() as tasks:
        for record, outcomes in zip(records, results):
            for url, limiter in limiters.items():
                tasks.start_soon(post, client, limiter, url, record, outcomes)
    for index, (record, outcomes) in enumerate(zip(records, results)):
        in_order = dict(zip("abc", (outcomes[url] for url in urls)))
        line = {"index": index, "record": record, "results": in_order}
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("records")
    parser.add_argument("urls", nargs="+")
    options = parser.parse_args()
    trio.run(main, load(options.records), options.urls, options.limit)
