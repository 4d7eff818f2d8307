"""The aiometer program: each record to each API, `max_at_once` for each, one `httpx.AsyncClient`.

python benchmarks/rivals/httpx_aiometer.py [--limit N] RECORDS URL...
"""

from __future__ import annotations

import argparse
import asyncio
import json
from functools import partial
from typing import Any

import aiometer
import httpx


async def post(client: httpx.AsyncClient, url: str, record: Any) -> dict[str, Any]:
    response = await client.post(url, json=record)
    return {"status": response.status_code, "body": response.json()}


def load(path: str) -> list[Any]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


async def call(records: list[Any], urls: list[str], limit: int) -> list[list[Any]]:
    # As in httpx_trio.py: no connection limit, and httpx's default for idle connections.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        jobs = [[partial(post, client, url, record) for record in records] for url in urls]
        running = (aiometer.run_all(job, max_at_once=limit) for job in jobs)
        return list(await asyncio.gather(*running))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--limit", type=int, default=64)
    options = parser.parse_args()
    records = load(options.records)
    columns = asyncio.run(call(records, options.urls, options.limit))
    for index, (record, *outcomes) in enumerate(zip(records, *columns)):
        line = {"index": index, "record": record, "results": dict(zip("abc", outcomes))}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
