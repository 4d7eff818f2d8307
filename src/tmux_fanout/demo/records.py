"""Sample records: the log of a small shop's web server."""

from __future__ import annotations

import msgspec

_LOG = """\
08:59:58 notice server started, 4 workers, 12 routes
09:00:01 info GET / 200 in 3 ms
09:00:01 info GET /static/site.css 200 in 1 ms
09:00:02 info GET /static/logo.svg 304 in 1 ms
09:00:04 info GET /search?q=teapot 200 in 48 ms
09:00:07 debug cache miss for key search:teapot
09:00:09 info GET /items/118 200 in 12 ms
09:00:11 warning GET /items/9999999 404 in 6 ms
09:00:12 info POST /basket 201 in 22 ms
09:00:15 info GET /basket 200 in 9 ms
09:00:16 error POST /checkout 500 in 131 ms: payment gateway did not answer
09:00:17 warning payment gateway: attempt 2 of 3
09:00:18 info POST /checkout 303 in 640 ms
09:00:18 info GET /orders/40213 200 in 14 ms
09:00:21 debug session 7c1e renewed for 30 minutes
09:00:24 info GET /robots.txt 200 in 1 ms
09:00:25 warning 14 requests in one second from 192.0.2.77, slowing it down
09:00:25 info GET /items/1 429 in 1 ms
09:00:26 info GET /items/2 429 in 1 ms
09:00:30 notice configuration read again, nothing has changed
09:00:33 info GET /search?q=gl%C3%BChwein 200 in 57 ms
09:00:34 info GET /items/204 200 in 11 ms
09:00:36 error template items.html: no such field: prize
09:00:36 error GET /items/205 500 in 18 ms
09:00:38 info GET /health 200 in 1 ms
09:00:41 warning database pool: 19 of 20 connections in use
09:00:42 warning slow query, 1,204 ms: orders by customer
09:00:43 info GET /account/orders 200 in 1311 ms
09:00:47 info DELETE /basket/118 204 in 8 ms
09:00:48 debug cache hit for key search:teapot
09:00:49 info GET /search?q=teapot 200 in 2 ms
09:00:52 error upload of 31 MB refused: more than 25 MB
09:00:52 info POST /account/photo 413 in 3 ms
09:00:55 notice certificate is valid for 20 more days
09:00:57 info GET /items/118 200 in 10 ms
09:00:59 warning worker 3 was silent for 5 s
09:01:00 error worker 3 ended by signal 9, starting another
09:01:01 notice worker 5 started
09:01:03 info GET /health 200 in 1 ms
09:01:04 info GET / 200 in 4 ms
"""


def _record(number: int, line: str) -> bytes:
    time, level, message = line.split(" ", 2)
    fields = {"line": number, "time": f"2026-03-02T{time}Z", "level": level, "message": message}
    return msgspec.json.encode(fields)


RECORDS = tuple(_record(number, line) for number, line in enumerate(_LOG.splitlines(), 1))
"""Sample log records, each a line of JSONL without its line break."""
