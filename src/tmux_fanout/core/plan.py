"""From settings to what the engine works with: every value filled in, every request prepared."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from tmux_fanout.core import settings as default
from tmux_fanout.core.content_coding import ACCEPT_ENCODING
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.expressions import Expression
from tmux_fanout.core.http import (
    BODILESS_METHODS,
    IDEMPOTENT_METHODS,
    Origin,
    default_port,
)
from tmux_fanout.core.request_builder import CONTENT_TYPES, RequestBuilder, is_templated
from tmux_fanout.core.response_reader import ResponseReader, parse_ok_status
from tmux_fanout.core.retry import RetryPolicy
from tmux_fanout.core.settings import EXAMPLE_URL, Api, RunSettings, TransportName, check_header
from tmux_fanout.core.url_template import UrlTemplate
from tmux_fanout.core.version import __version__

T = TypeVar("T")

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[a-z0-9._-]+")
_IP_LITERAL = re.compile(r"\[[0-9a-f:.]+(%[\w.~%-]+)?\](:\d*)?", re.ASCII | re.IGNORECASE)
_SAFE_IN_TARGET = "%/:?@!$&'()*+,;=-._~[]"  # RFC 3986, section 3.3 and 3.4, and "%" as it stands


class ApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One API with nothing left open; times in seconds, sizes in bytes."""

    name: str
    requests: RequestBuilder
    responses: ResponseReader
    limit: int
    retry: RetryPolicy
    connect_timeout: float
    attempt_timeout: float
    max_response: int
    transport: Literal["native", "httpx"]

    @property
    def origin(self) -> Origin:
        """Where all its requests go."""
        return self.requests.origin


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A run with nothing left open."""

    apis: tuple[ApiPlan, ...]
    window: int
    settings: RunSettings


def plan_run(apis: Sequence[Api], settings: RunSettings, env: Mapping[str, str]) -> RunPlan:
    """Resolve the settings of a run.

    Args:
        apis: at least one; their names differ.
        settings: for the run, and for what the APIs leave open.
        env: for `${VAR}`.

    Raises:
        ConfigError: a URL is none, a variable is not set, or names are not unique.
    """
    if not apis:
        raise ConfigError("no API to call; give at least one Api")
    names = [api.name for api in apis]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two APIs are called {twice!r}; give each its own name")
    plans = tuple(_plan_api(api, settings, env) for api in apis)
    window = settings.window or max(default.WINDOW, 4 * max(plan.limit for plan in plans))
    return RunPlan(apis=plans, window=window, settings=settings)


def _plan_api(api: Api, run: RunSettings, env: Mapping[str, str]) -> ApiPlan:
    method = api.method.upper()
    try:
        requests = _request_builder(api, method, env)
        responses = _response_reader(api)
    except ConfigError as exc:
        raise ConfigError(f"API {api.name!r}: {exc}") from None
    return ApiPlan(
        name=api.name,
        requests=requests,
        responses=responses,
        limit=_first(api.limit, run.limit, default.LIMIT),
        retry=RetryPolicy(
            retries=_first(api.retries, run.retries, default.RETRIES),
            timeout=_number(api.timeout, run.timeout, default.TIMEOUT),
            method=method,
            idempotent=_first(api.idempotent, run.idempotent, method in IDEMPOTENT_METHODS),
        ),
        connect_timeout=_number(api.connect_timeout, run.connect_timeout, default.CONNECT_TIMEOUT),
        attempt_timeout=_number(api.attempt_timeout, run.attempt_timeout, default.ATTEMPT_TIMEOUT),
        max_response=int(_number(api.max_response, run.max_response, default.MAX_RESPONSE)),
        transport=_choose_transport(_first(api.transport, run.transport, "auto")),
    )


def _first(*choices: T | None) -> T:
    """The API's own value, else the run's, else the default."""
    return next(choice for choice in choices if choice is not None)


def _number(*choices: float | str | None) -> float:
    """The same for durations and sizes, which the settings have turned into numbers."""
    return float(next(choice for choice in choices if choice is not None))


def _choose_transport(wish: TransportName) -> Literal["native", "httpx"]:
    return "native" if wish == "auto" else wish


def _request_builder(api: Api, method: str, env: Mapping[str, str]) -> RequestBuilder:
    origin, target, credentials = parse_url(expand_variables(api.url, env))
    # A value that comes from the environment is not looked at for fields.
    templated = {name for name, value in api.headers.items() if is_templated(value)}
    headers = {name: expand_variables(value, env) for name, value in api.headers.items()}
    for name, value in headers.items():
        check_header(name, value)
    has_body = api.body is not None or method not in BODILESS_METHODS
    defaults = {
        "Host": origin.authority,
        "User-Agent": f"tmux-fanout/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": ACCEPT_ENCODING,
    }
    if has_body:
        defaults["Content-Type"] = CONTENT_TYPES[api.body_format]
    if credentials:
        defaults["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    given = {name.lower() for name in headers}
    sent = [(name, value) for name, value in defaults.items() if name.lower() not in given]
    sent += [(name, value) for name, value in headers.items() if name not in templated]
    return RequestBuilder(
        method=method,
        origin=origin,
        target=UrlTemplate(target) if "{" in target or "}" in target else target,
        headers=tuple(sent),
        templated=tuple((name, value) for name, value in headers.items() if name in templated),
        when=Expression("when", api.when, strict=False) if api.when is not None else None,
        body=Expression("body", api.body, strict=True) if api.body is not None else None,
        body_format=api.body_format,
        has_body=has_body,
    )


def _response_reader(api: Api) -> ResponseReader:
    return ResponseReader(
        ok_status=parse_ok_status(api.ok_status),
        select=Expression("select", api.select, strict=False) if api.select is not None else None,
        capture=tuple(name.lower() for name in api.capture_headers),
    )


def expand_variables(text: str, env: Mapping[str, str]) -> str:
    """`text` with each `${VAR}` replaced by the environment's value.

    Raises:
        ConfigError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return env[match[1]]
        except KeyError:
            name = match[1]
            if _NAME.fullmatch(name):
                raise ConfigError(f"${{{name}}} is not set; export {name}=...") from None
            raise ConfigError("${...}: write the name of a variable between the braces") from None

    return _VARIABLE.sub(value, text)


def parse_url(url: str) -> tuple[Origin, str, str]:
    """An absolute http or https URL as origin, request target, and `user:password` or "".

    Characters that a request line cannot hold are percent-encoded; a fragment is dropped.  The
    target may be an RFC 6570 template; the origin may not.

    Raises:
        ConfigError: it is no such URL.  It is not shown, since it may hold a secret.
    """
    if re.search(r"[\x00-\x20\x7f\ud800-\udfff]", url):
        raise ConfigError("url: it holds a blank or a control character; write %20 and so on")
    site, target = _split_url(url)
    try:
        parts = urlsplit(site)
        host, port = _host(parts), parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or parts.scheme not in ("http", "https"):
        raise ConfigError(f"url: not an http or https URL; write one such as {EXAMPLE_URL}")
    if re.match(r"\{[^/?&+]", target):
        raise ConfigError("url: a host cannot come from a record; write / before the expression")
    if not target.startswith(("/", "{/", "{+")):
        target = "/" + target
    credentials = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Origin(parts.scheme, host, port or default_port(parts.scheme)), target, credentials


def _split_url(url: str) -> tuple[str, str]:
    """Scheme and authority; path and query, quoted, without the fragment."""
    match = re.match(r"([^/?#{]*://[^/?#{]*)([^#]*)", url)
    if match is None:
        return "", ""
    return match[1], quote(match[2], safe=_SAFE_IN_TARGET + "{}")


def _host(parts: SplitResult) -> str:
    """The host as DNS takes it, or an IP literal without its brackets; "" if it is neither.

    Raises:
        ValueError: a label is too long, empty, or holds what no name can.
    """
    host = parts.hostname or ""
    if "[" in parts.netloc:
        return host if _IP_LITERAL.fullmatch(parts.netloc.rpartition("@")[2]) else ""
    host = host.encode("idna").decode()
    return host if _HOST.fullmatch(host) else ""
