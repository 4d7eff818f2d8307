"""From the settings `pages` and `poll` to what calls do after their first request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import structs

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.urls import expand_url
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.redaction import redact_url
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.expressions import Expression
from tmux_fanout.core.requests.options import PagesSettings, PollSettings
from tmux_fanout.core.requests.series.pages import LINK, PagesPlan, Param
from tmux_fanout.core.requests.series.poll import HEADERS, SUBMITTED, PollPlan
from tmux_fanout.core.requests.url_template import UrlTemplate
from tmux_fanout.core.routes.sockets import parse_api_url
from tmux_fanout.core.units import parse_duration

_WHOLE = re.compile(r"\{\+([^{},:*?]+)\}")
_POLL_URL = f'/v1/jobs/{{{SUBMITTED}.id}}, or a URL from the answer, such as "{{+{SUBMITTED}.url}}"'


def plan_pages(
    pages: PagesSettings, requests: RequestBuilder, retry: RetryPolicy, max_size: int
) -> PagesPlan:
    """Return how the pages of an API are found.

    Args:
        pages: as they were written.
        requests: builds the requests for the first pages.
        retry: of the API.
        max_size: maximum size of the items of all pages.

    Raises:
        ConfigError: an expression is invalid, or settings contradict each other.
    """
    if requests.key is not None:
        why = "cannot be combined with idempotency_key, as every page is another request: use"
        raise ConfigError(f"{why} idempotent = true", key="pages")
    if pages.next == LINK and pages.param is not None:
        why = 'no use with next = "link", which gives whole URLs: leave it out'
        raise ConfigError(why, key="pages.param")
    return PagesPlan(
        next=None if pages.next == LINK else _expression("pages.next", pages.next),
        param=None if pages.param is None else _plan_param(pages.param, requests),
        items=None if pages.items is None else _expression("pages.items", pages.items),
        max=pages.max,
        max_size=max_size,
        policy=retry,
    )


def _plan_param(name: str, requests: RequestBuilder) -> Param:
    """Return where the token goes: into the body if it has fields, and no ? precedes the name."""
    is_of_query = name.startswith("?") or not requests.has_body or requests.body_format == "raw"
    name = name.removeprefix("?")
    if not name:
        why = "missing name: use that of the parameter for the token, such as cursor"
        raise ConfigError(why, key="pages.param")
    return Param(name, None if is_of_query else requests.body_format)


def plan_poll(
    poll: PollSettings,
    requests: RequestBuilder,
    prefix: str,
    retry: RetryPolicy,
    env: Mapping[str, str],
) -> PollPlan:
    """Return how the jobs of an API are asked for.

    Args:
        poll: as it was written.
        requests: builds the submissions.
        prefix: of the paths at its endpoint, or "".
        retry: of the API.
        env: the environment, for `${VAR}`.

    Raises:
        ConfigError: an expression or the URL is invalid, or settings contradict each other.
    """
    until = _expression("poll.until", poll.until)
    if until.is_never_true:
        why = "it is never true, whatever the answer is: use one such as status == 'done'"
        raise ConfigError(why, key="poll.until")
    every, limit = parse_duration(poll.every), parse_duration(poll.max)
    if every > limit:
        raise ConfigError("longer than poll.max, so there would be no poll", key="poll.every")
    try:
        url, shown = _plan_url(poll.url, requests, prefix, env)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="poll.url") from None
    return PollPlan(
        url=url,
        until=until,
        failed=None if poll.failed is None else _expression("poll.failed", poll.failed),
        every=every,
        max=limit,
        policy=structs.replace(retry, method="GET", idempotent=True),
        is_idempotent=retry.idempotent,
        shown=shown,
    )


def _plan_url(
    url: str, requests: RequestBuilder, prefix: str, env: Mapping[str, str]
) -> tuple[UrlTemplate | str, str]:
    """Return the target of polls, or the field that has their URL; and the same to be shown."""
    if whole := _WHOLE.fullmatch(url):
        return whole[1], f"the URL at {whole[1]}"
    expanded = expand_url(url, env, "poll.url")
    origin = requests.origin
    if "://" not in expanded:
        if not expanded.startswith(("/", "{/")):
            raise ConfigError(f"invalid URL: use a path such as {_POLL_URL}")
        expanded = f"{origin.url}{prefix}{expanded}"
    found, target, _ = parse_api_url(expanded)  # the credentials are those of the submission
    if found._replace(socket=found.socket or origin.socket) != origin:
        why = f"it has to be at {origin}, where the job is submitted: use a path such as"
        raise ConfigError(f"{why} {_POLL_URL}")
    template = UrlTemplate(target)
    if not template.names:
        raise ConfigError(f"the same URL for all jobs: use a path such as {_POLL_URL}")
    if any(_is_misspelt(name) for name in template.names):
        why = f"unknown field: use {SUBMITTED} for the body of the answer to the submission, and"
        raise ConfigError(f"{why} {HEADERS} for its headers")
    return template, redact_url(f"{origin.url}{target}")


def _is_misspelt(name: str) -> bool:
    """Whether a field is probably meant to be one of ours."""
    first = name.partition(".")[0]
    return first not in (SUBMITTED, HEADERS) and first.startswith(("_sub", "_head"))


def _expression(key: str, text: str) -> Expression:
    return Expression(key, text, strict=False)
