"""How the requests of an API are built, and its responses read, from what it is set to."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from tmux_fanout.core.config.settings import Api, check_header
from tmux_fanout.core.config.tables import parse_auth, parse_batch
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Basic, Bearer, OAuth2
from tmux_fanout.core.http.content_coding import ACCEPT_ENCODING
from tmux_fanout.core.http.messages import BODILESS_METHODS, Endpoint
from tmux_fanout.core.http.oauth2 import token_request
from tmux_fanout.core.http.urls import expand_variables, parse_url
from tmux_fanout.core.requests.builder import HeaderTemplate, RequestBuilder, split_header
from tmux_fanout.core.requests.expressions import Expression
from tmux_fanout.core.requests.options import CONTENT_TYPES
from tmux_fanout.core.requests.response_reader import ResponseReader, parse_ok_status
from tmux_fanout.core.requests.url_template import UrlTemplate
from tmux_fanout.core.version import __version__

S = TypeVar("S")


def parsed(value: object, parse: Callable[[object], S]) -> S | None:
    """A table that the settings have turned into a struct, typed as one."""
    return None if value is None else parse(value)


def plan_endpoints(api: Api, env: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The base URLs of an API; none where its `url` is the whole."""
    endpoints = []
    for url in api.endpoints:
        try:
            origin, target, credentials = parse_url(expand_variables(url, env))
        except ConfigError as exc:
            raise ConfigError(exc.why, key="endpoints") from None
        if credentials or set("{?").intersection(target):
            raise ConfigError("write base URLs, without user, {...} or ?", key="endpoints")
        endpoints.append(Endpoint(origin, target.rstrip("/")))
    if endpoints and "://" in api.url:
        why = "it is relative to the endpoints; write a path such as /v1/{id}"
        raise ConfigError(why, key="url")
    return tuple(endpoints)


def plan_oauth2(api: Api, env: Mapping[str, str]) -> OAuth2 | None:
    auth = parsed(api.auth, parse_auth)
    if not isinstance(auth, OAuth2):
        return None
    written = msgspec.structs.asdict(auth).items()
    fields = {
        key: text and expand_variables(text, env, f"auth.oauth2.{key}") for key, text in written
    }
    settings = OAuth2(**fields)
    try:
        token_request(settings)
    except ConfigError as exc:
        raise exc.within("auth.oauth2") from None
    return settings


def _authorization(api: Api, userinfo: str, env: Mapping[str, str]) -> str | None:
    """The value of the Authorization header that `auth`, or else the URL, gives."""
    auth = parsed(api.auth, parse_auth)
    if isinstance(auth, Bearer):
        return f"Bearer {expand_variables(auth.token, env, 'auth.bearer')}"
    if isinstance(auth, Basic):
        userinfo = expand_variables(f"{auth.user}:{auth.password}", env, "auth.basic")
    if not userinfo:
        return None
    return f"Basic {base64.b64encode(userinfo.encode()).decode()}"


def _check_bearer(authorization: str) -> None:
    try:
        check_header("Authorization", authorization)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="auth") from None


def _headers(api: Api, env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, HeaderTemplate]]:
    """The headers that no record changes, and those with fields.

    What comes from the environment is not looked at for fields.
    """
    headers, templated = {}, {}
    for name, text in api.headers.items():
        parts = split_header(text)
        if len(parts) > 1 and name.lower() == "host":
            raise ConfigError("a host cannot come from a record", key=f"headers.{name}")
        key = f"headers.{name}"
        expanded = [
            part if place % 2 else expand_variables(part, env, key)
            for place, part in enumerate(parts)
        ]
        check_header(name, "".join(expanded))
        if len(parts) > 1:
            templated[name] = tuple(expanded)
        else:
            headers[name] = expanded[0]
    return headers, templated


def plan_requests(
    api: Api, method: str, endpoints: Sequence[Endpoint], env: Mapping[str, str]
) -> RequestBuilder:
    url = expand_variables(api.url, env, "url")
    if endpoints:
        base = endpoints[0]
        path = url if not url or url.startswith(("/", "?", "{/", "{?", "{+")) else f"/{url}"
        url = f"{base.origin.url}{base.prefix}{path}"
    origin, target, userinfo = parse_url(url)
    headers, templated = _headers(api, env)
    has_body = api.body is not None or method not in BODILESS_METHODS
    defaults = {
        "Host": origin.authority,
        "User-Agent": f"tmux-fanout/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": ACCEPT_ENCODING,
    }
    if has_body:
        defaults["Content-Type"] = CONTENT_TYPES[api.body_format]
    batch = parsed(api.batch, parse_batch)
    if batch and batch.format == "ndjson":
        defaults["Content-Type"] = "application/x-ndjson"
    given = {name.lower() for name in (*headers, *templated)}
    if api.auth is not None and "authorization" in given:
        why = "there is an Authorization header too; keep one of the two"
        raise ConfigError(why, key="auth")
    if api.auth is not None and userinfo:
        raise ConfigError("there is a user in the URL too; keep one of the two", key="auth")
    authorization = _authorization(api, userinfo, env)
    if authorization is not None:
        _check_bearer(authorization)
        defaults["Authorization"] = authorization
    sent = [(name, value) for name, value in defaults.items() if name.lower() not in given]
    sent += headers.items()
    return RequestBuilder(
        method=method,
        origin=origin,
        target=UrlTemplate(target) if "{" in target or "}" in target else target,
        headers=tuple(sent),
        templated=tuple(templated.items()),
        when=Expression("when", api.when, strict=False) if api.when is not None else None,
        body=Expression("body", api.body, strict=True) if api.body is not None else None,
        body_format=api.body_format,
        has_body=has_body,
        key_for=api.name if api.idempotency_key else None,
    )


def plan_responses(api: Api) -> ResponseReader:
    return ResponseReader(
        ok_status=parse_ok_status(api.ok_status),
        select=Expression("select", api.select, strict=False) if api.select is not None else None,
        capture=tuple(name.lower() for name in api.capture_headers),
    )
