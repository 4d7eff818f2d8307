"""What shapes results: the settings without which two runs may write different lines for a record.

They are compared as they mean, not as they are written: `get` is GET, and a default that is spelled
out is left out.  So a setting that a later version adds changes no shape in which it is not used.
What only says how fast and how often calls are made is no part of the shape; nor are
headers and `auth`, for a renewed key gives the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.rules import parse_method
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.config.tables import parse_batch, parse_endpoints, parse_pages, parse_poll
from tmux_fanout.core.redaction import redact_setting, redact_url
from tmux_fanout.core.requests.response_reader import parse_ok_status
from tmux_fanout.core.routes.connect_to import parse_connect_to

Shape = Mapping[str, Mapping[str, Any]]


def _same(value: Any) -> Any:
    return value


def _urls_of(endpoints: Any) -> Sequence[str]:
    return sorted({redact_url(endpoint.url) for endpoint in parse_endpoints(endpoints)})


def _items_of(batch: Any) -> Sequence[str | None]:
    parsed = parse_batch(batch)
    items = (parsed.format, parsed.items, parsed.key)
    return items if parsed.wrap is None else (*items, parsed.wrap)


def _pages_of(pages: Any) -> Sequence[str | None]:
    parsed = parse_pages(pages)
    return parsed.next, parsed.param, parsed.items


def _job_of(poll: Any) -> Sequence[str | None]:
    parsed = parse_poll(poll)
    return redact_url(parsed.url), parsed.until, parsed.failed


def _sorted_words(words: Sequence[int | str]) -> Sequence[str]:
    return sorted({str(word).lower() for word in words})


OF_APIS: Mapping[str, Callable[[Any], Any]] = {
    "url": redact_url,
    "endpoints": _urls_of,
    "connect_to": lambda value: str(parse_connect_to(value) or value),
    "socket": _same,
    "files_root": _same,
    "method": parse_method,
    "body": _same,
    "body_format": _same,
    "json": lambda value: redact_setting("json", value),
    "text": _same,
    "select": _same,
    "stream": _same,
    "last": _same,
    "when": _same,
    "after": sorted,
    "fallback_of": _same,
    "fallback_on": _sorted_words,
    "batch": _items_of,
    "pages": _pages_of,
    "poll": _job_of,
    "ok_status": lambda words: sorted(parse_ok_status(words)),
    "ok_when": _same,
    "capture_headers": _sorted_words,
    "redirects": _same,
    "hosts": sorted,
}
OF_RUNS = ("join",)

_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Api)}


def shape_of(
    apis: Sequence[Api], settings: RunSettings, resolve: Callable[[str], str] = _same
) -> dict[str, Shape]:
    """Return what shapes the results of a run, without secrets.

    Args:
        apis: as they are written, with `${VAR}` unexpanded.
        settings: of the run.
        resolve: returns the folder that a path leads to, as its spelling does not matter.

    Returns:
        Values that JSON can hold, by key: under `run`, and by name under `apis`.
    """
    run = {key: getattr(settings, key) for key in OF_RUNS}
    default = RunSettings()
    return {
        "run": {key: value for key, value in run.items() if value != getattr(default, key)},
        "apis": {api.name: _shape_of_api(api, resolve) for api in apis},
    }


def _shape_of_api(api: Api, resolve: Callable[[str], str]) -> dict[str, Any]:
    shape = {}
    for key, meaning in OF_APIS.items():
        value, default = getattr(api, key), _DEFAULTS[key]
        if value == default or value is None:
            continue
        meant = meaning(value)
        if default is None or meant != meaning(default):
            shape[key] = resolve(meant) if key == "files_root" else meant
    return shape
