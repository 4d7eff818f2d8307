"""From an API's `endpoints` to where its requests go, and with what headers and credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.request_plan import plan_requests
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import (
    at_endpoint,
    parse_auth,
    parse_endpoints,
    parse_pages,
    parse_poll,
    parse_rates,
)
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import FORMS
from tmux_fanout.core.http.messages import Endpoint, Origin
from tmux_fanout.core.http.urls import expand_url
from tmux_fanout.core.merging.inheritance import inherit, sent_headers
from tmux_fanout.core.policy.rate import RateSettings
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.redaction import is_secret_name, redact_url
from tmux_fanout.core.requests.builder import RequestBuilder, split_header
from tmux_fanout.core.requests.options import Batch, EndpointSettings
from tmux_fanout.core.requests.series.pages import PagesPlan
from tmux_fanout.core.requests.series.planning import plan_pages, plan_poll
from tmux_fanout.core.requests.series.poll import PollPlan
from tmux_fanout.core.requests.urls.record_url import RecordUrl
from tmux_fanout.core.routes.sockets import parse_api_url


def plan_endpoints(
    api: Api,
    method: str,
    batch: Batch | None,
    env: Mapping[str, str],
    record_url: RecordUrl | None = None,
) -> tuple[RequestBuilder, tuple[Endpoint, ...]]:
    """Return the builder of an API's requests, and where these may go.

    Args:
        api: as it was written.
        method: in upper case.
        batch: how records share requests.
        env: the environment, for `${VAR}`.
        record_url: as for `plan_requests`.

    Returns:
        The builder of requests to the first endpoint; and the endpoints, none where `url` is
        complete.

    Raises:
        ConfigError: a URL, header or expression is invalid, or a variable is not set.
    """
    written = parse_endpoints(api.endpoints)
    if not written:
        return plan_requests(api, method, None, batch=batch, env=env, record_url=record_url), ()
    builders = []
    for number, endpoint in enumerate(written, 1):
        try:
            builders.append(_plan_endpoint(api, endpoint, method, batch, env))
        except _EndpointError as exc:
            raise at_endpoint(number, exc).within("endpoints") from None
    origins = [builder.origin for builder, _ in builders]
    endpoints = []
    for number, (settings, (builder, prefix)) in enumerate(zip(written, builders), 1):
        rate = RateSettings() if settings.rate is None else parse_rates(settings.rate)
        is_unique = origins.count(builder.origin) == 1
        endpoints.append(
            Endpoint(
                name=f"{builder.origin}" if is_unique else f"{builder.origin} (endpoint {number})",
                origin=builder.origin,
                prefix=prefix,
                headers=builder.headers,
                auth=builder.auth,
                limit=settings.limit,
                rate=rate.requests,
                tokens=rate.tokens,
                burst=rate.burst,
                weight=settings.weight,
                credentials=describe_credentials(at(api, settings)),
            )
        )
    return builders[0][0], tuple(endpoints)


class _EndpointError(ConfigError):
    """A mistake in a key of an endpoint, not in one of its API."""


def _plan_endpoint(
    api: Api,
    endpoint: EndpointSettings,
    method: str,
    batch: Batch | None,
    env: Mapping[str, str],
) -> tuple[RequestBuilder, str]:
    """Return the builder of requests to one endpoint, and the path prefix there."""
    base = _base_url(endpoint, env)
    if "://" in api.url:
        why = "a whole URL beside endpoints: use a path such as /v1/{id}"
        raise ConfigError(why, key="url")
    _check_headers(api, endpoint)
    try:
        return plan_requests(at(api, endpoint), method, base, batch=batch, env=env), base[1]
    except ConfigError as exc:
        table, _, name = exc.key.partition(".")
        if (table == "auth" and endpoint.auth is not None) or name in endpoint.headers:
            raise _EndpointError(exc.why, key=exc.key) from None
        raise


def _base_url(endpoint: EndpointSettings, env: Mapping[str, str]) -> tuple[Origin, str]:
    try:
        origin, target, credentials = parse_api_url(expand_url(endpoint.url, env))
    except ConfigError as exc:
        raise _EndpointError(exc.why) from None
    if credentials or set("{?").intersection(target):
        advice = "use one without user, {...} or ?, such as https://eu.example.com"
        raise _EndpointError(f"invalid base URL: {advice}")
    return origin, target.rstrip("/")


def _check_headers(api: Api, endpoint: EndpointSettings) -> None:
    """Check that an endpoint's headers are the same for all records.

    Requests are built once, for the first endpoint, and then given the headers of another.
    """
    of_record = {
        name.lower()
        for name, text in sent_headers(api.headers).items()
        if len(split_header(text)) > 1
    }
    for name, text in endpoint.headers.items():
        key = f"headers.{name}"
        if text is not False and len(split_header(text)) > 1:
            why = "a field of the record: move the header to the headers of the API"
            raise _EndpointError(why, key=key)
        if name.lower() in of_record:
            why = "it comes from the record at the API: leave it out here"
            raise _EndpointError(why, key=key)
    if endpoint.auth and "authorization" in of_record:
        why = "an Authorization header from the record at the API: leave one of the two out"
        raise _EndpointError(why, key="auth")


def plan_series(
    api: Api,
    requests: RequestBuilder,
    endpoints: Sequence[Endpoint],
    *,
    retry: RetryPolicy,
    max_response: int,
    env: Mapping[str, str],
) -> PagesPlan | PollPlan | None:
    """Return what the calls of an API do after their first requests; None if nothing.

    Args:
        api: as it was written.
        requests: builds its first requests.
        endpoints: where these may go.
        retry: how often each request is repeated.
        max_response: maximum size of a body.
        env: the environment, for `${VAR}`.

    Raises:
        ConfigError: an expression or a URL is invalid, or settings contradict each other.
    """
    for key in ("pages", "poll"):
        if getattr(api, key) is not None:
            _check_series(api, key, endpoints)
    if api.pages is not None:
        return plan_pages(parse_pages(api.pages), requests, retry, max_response)
    if api.poll is None:
        return None
    prefix = endpoints[0].prefix if endpoints else ""
    poll = plan_poll(parse_poll(api.poll), requests, prefix, retry, env)
    for key in ("share", "cache"):
        if getattr(api, key) and poll.has_record_in_url:
            why = (
                "poll.url has fields of the record, so that no two jobs are the same: use only "
                f"_submitted and _headers there, or leave {key} out"
            )
            raise ConfigError(why, key=key)
    return poll


def _check_series(api: Api, key: str, endpoints: Sequence[Endpoint]) -> None:
    for other in ("batch", "hedge", "pages"):
        if other != key and getattr(api, other) is not None:
            why = f"cannot be combined with {other}: leave one of the two out"
            raise ConfigError(why, key=key)
    if len(endpoints) > 1:
        why = "cannot be combined with several endpoints, of which one began it: use one of them"
        raise ConfigError(why, key=key)
    if key == "poll" and api.spent is not None:
        why = (
            "cannot be combined with poll, as the answer to a submission does not say it: use cost"
        )
        raise ConfigError(why, key="spent")


def describe_credentials(api: Api) -> str:
    """Return which setting of an API has its credentials, such as `auth.bearer`; "" if none has."""
    if api.client is not None:
        return "client"
    if api.auth is not None:
        return f"auth.{FORMS[type(parse_auth(api.auth))]}"
    if name := next(filter(is_secret_name, api.headers), None):
        return f"header {name}"
    return "url" if redact_url(api.url) != api.url else ""


def at(api: Api, endpoint: EndpointSettings) -> Api:
    """Return an API with the credentials and headers that it has at one endpoint."""
    keys: dict[str, Any] = {"headers": endpoint.headers, "auth": endpoint.auth}
    own = {key: value for key, value in keys.items() if value or value is False}
    shared: dict[str, Any] = {"headers": api.headers, "auth": api.auth}
    merged = inherit(shared, own)
    return msgspec.structs.replace(
        api, headers=merged["headers"], auth=merged.get("auth"), endpoints=[endpoint.url]
    )
