"""From an API's settings to the builder of its requests and the reader of its responses."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from functools import partial

import msgspec
from msgspec import structs

from tmux_fanout.core.config.rules import check_header
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_auth, parse_cache, parse_rate_headers, parse_tls
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import ANYWHERE
from tmux_fanout.core.http.auth import (
    FORMS,
    Auth,
    Basic,
    Bearer,
    Digest,
    OAuth2,
    SentAuth,
    Signer,
)
from tmux_fanout.core.http.content_coding import ACCEPT_ENCODING
from tmux_fanout.core.http.messages import BODILESS_METHODS, Origin
from tmux_fanout.core.http.oauth2 import parse_params, token_request
from tmux_fanout.core.http.signing.functions import expand_arguments
from tmux_fanout.core.http.urls import expand_url, expand_variables
from tmux_fanout.core.merging.inheritance import sent_headers
from tmux_fanout.core.requests.answer_rules import AnswerRules
from tmux_fanout.core.requests.builder import (
    KEY_HEADER,
    HeaderTemplate,
    RequestBuilder,
    split_header,
)
from tmux_fanout.core.requests.expressions import Expression
from tmux_fanout.core.requests.options import CONTENT_TYPES, Batch, BodyFormat
from tmux_fanout.core.requests.response_reader import (
    ResponseReader,
    parse_ok_status,
    parse_statuses,
)
from tmux_fanout.core.requests.reuse.cache import CachePlan, context_of
from tmux_fanout.core.requests.streams.reader import StreamReader
from tmux_fanout.core.requests.templates.body import BodyTemplate, JsonTemplate, TextTemplate
from tmux_fanout.core.requests.url_template import UrlTemplate
from tmux_fanout.core.requests.urls.builder import HostedRequestBuilder
from tmux_fanout.core.requests.urls.record_url import RecordUrl
from tmux_fanout.core.routes.sockets import parse_api_url, plan_socket
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import parse_duration, parse_size
from tmux_fanout.core.version import __version__


def plan_auth(api: Api, env: Mapping[str, str]) -> Auth | None:
    """Return an API's credentials, with the variables expanded.

    Raises:
        ConfigError: a variable is not set, or no token can be asked for with them.
    """
    auth = None if api.auth is None else parse_auth(api.auth)
    if isinstance(auth, Bearer):
        return Bearer(expand_variables(auth.token, env, "auth.bearer"))
    if isinstance(auth, (Basic, Digest)):
        key = f"auth.{FORMS[type(auth)]}"
        user, password = (expand_variables(text, env, key) for text in (auth.user, auth.password))
        _check_pair(user, password, key, is_sent=isinstance(auth, Digest))
        return type(auth)(user, password)
    if isinstance(auth, Signer):
        expand = partial(_expand_argument, env)
        return Signer(auth.function, expand_arguments(auth.arguments, expand))
    return auth and _plan_oauth2(auth, env)


def _check_pair(user: str, password: str, key: str, *, is_sent: bool) -> None:
    """Check a user and a password.

    Args:
        user, password: with variables expanded.
        key: of the setting, for messages.
        is_sent: whether the name of the user is sent as it is.
    """
    try:
        password.encode()
        name = user.encode().decode("latin-1")
        if is_sent:
            check_header("Authorization", name)
    except UnicodeEncodeError:
        raise ConfigError("it is not valid UTF-8", key=key) from None
    except ConfigError as exc:
        raise ConfigError(exc.why, key=key) from None


def _expand_argument(env: Mapping[str, str], text: str, name: str) -> str:
    return expand_variables(text, env, f"auth.{name}")


def _plan_oauth2(auth: OAuth2, env: Mapping[str, str]) -> OAuth2:
    written = msgspec.structs.asdict(auth)
    written["token_url"] = expand_url(auth.token_url, env, "auth.oauth2.token_url")
    for key in ("client_id", "client_secret", "scope"):
        written[key] = written[key] and expand_variables(written[key], env, f"auth.oauth2.{key}")
    written["params"] = tuple(
        (name, expand_variables(text, env, f"auth.oauth2.params.{name}"))
        for name, text in parse_params(auth.params)
    )
    client = OAuth2(**written)
    try:
        token_request(client)
    except ConfigError as exc:
        raise exc.within("auth.oauth2") from None
    return client


def _authorization(auth: Auth | None, userinfo: str) -> str | None:
    """Return the Authorization header that `auth`, or else the URL, asks for."""
    if isinstance(auth, Bearer):
        authorization = f"Bearer {auth.token}"
    else:
        if isinstance(auth, Basic):
            userinfo = f"{auth.user}:{auth.password}"
        if not userinfo:
            return None
        authorization = f"Basic {base64.b64encode(userinfo.encode()).decode()}"
    try:
        check_header("Authorization", authorization)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="auth") from None
    return authorization


def _headers(api: Api, env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, HeaderTemplate]]:
    """Return the headers that are the same for all records, and those with fields.

    The environment's values are not searched for fields.
    """
    headers, templated = {}, {}
    for name, text in sent_headers(api.headers).items():
        parts = split_header(text)
        if len(parts) > 1 and name.lower() == "host":
            why = "a host cannot come from a record: leave {...} out"
            raise ConfigError(why, key=f"headers.{name}")
        expanded = _template(name, text, env, f"headers.{name}")
        if len(parts) > 1:
            templated[name] = expanded
        else:
            headers[name] = expanded[0]
    return headers, templated


def _template(name: str, text: str, env: Mapping[str, str], key: str) -> HeaderTemplate:
    """Split a header's value at its fields, and expand the variables in between.

    Args:
        name: of the header.
        text: its value.
        env: the environment.
        key: of the setting, for messages.
    """
    expanded = tuple(
        part if index % 2 else expand_variables(part, env, key)
        for index, part in enumerate(split_header(text))
    )
    try:
        check_header(name, "".join(expanded))
    except ConfigError as exc:
        raise ConfigError(exc.why, key=key) from None
    return expanded


def _check_multipart(api: Api, given: Collection[str]) -> None:
    if "content-type" in given:
        why = "a form with files has its own, with a boundary: leave it out"
        raise ConfigError(why, key="headers.Content-Type")
    for key in ("share", "cache"):
        if getattr(api, key):
            why = "compares bodies, and the files of a form are not read before they are sent"
            raise ConfigError(f"{why}: use {key} = false, or another body_format", key=key)


def plan_requests(
    api: Api,
    method: str,
    base: tuple[Origin, str] | None,
    *,
    batch: Batch | None,
    env: Mapping[str, str],
    record_url: RecordUrl | None = None,
) -> RequestBuilder:
    """Return the builder of an API's requests.

    Args:
        api: as it was written.
        method: in upper case.
        base: origin and path prefix that its `url` is relative to, or None.
        batch: how records share requests.
        env: the environment, for `${VAR}`.
        record_url: finds the host in the record; None: it is the same for all records.

    Raises:
        ConfigError: a URL, header or expression is invalid, or a variable is not set.
    """
    auth = plan_auth(api, env)
    origin, target, userinfo = (ANYWHERE, "/", "") if record_url else _url(api, base, env)
    headers, templated = _headers(api, env)
    given = {name.lower() for name in (*headers, *templated)}
    is_whole = auth is not None and not isinstance(auth, Signer)  # a signature may go beside a key
    if is_whole and ("authorization" in given or userinfo):
        other = "a user in the URL" if userinfo else "an Authorization header"
        raise ConfigError(f"{other} beside auth: leave one of the two out", key="auth")
    template, body_format = _plan_template(api), _body_format(api)
    has_body = bool(api.body is not None or template or method not in BODILESS_METHODS)
    defaults = {
        "Host": None if record_url else origin.authority,
        "User-Agent": f"tmux-fanout/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": ACCEPT_ENCODING,
        "Content-Type": _content_type(api, batch) if has_body else None,
        "Authorization": _authorization(auth, userinfo),
    }
    sent = [
        (name, value) for name, value in defaults.items() if value and name.lower() not in given
    ]
    body = _plan_body(api)
    if body_format == "multipart":
        _check_multipart(api, given)
    builder = partial(HostedRequestBuilder, record_url) if record_url else RequestBuilder
    return builder(
        method=method,
        origin=origin,
        target=UrlTemplate(target) if "{" in target or "}" in target else target,
        headers=(*sent, *headers.items()),
        templated=tuple(templated.items()),
        when=_expression("when", api.when, is_timed=True),
        body=body,
        body_format=body_format,
        template=template,
        has_body=has_body,
        key=_plan_key(api, given, env),
        auth=auth if isinstance(auth, SentAuth) else None,
        files_root=str(api.files_root or ""),
    )


def _plan_body(api: Api) -> Expression | None:
    """Return what makes the body of requests; None if that is the record.

    Raises:
        ConfigError: it is no expression, or it names files, and there is no folder for them.
    """
    if api.body is None:
        return None
    is_form = api.body_format == "multipart"
    body = Expression("body", api.body, strict=True, is_timed=True, names_files=is_form)
    if body.has_files and not api.files_root:
        why = 'missing: add the folder that records may name files in, such as "documents"'
        raise ConfigError(why, key="files_root")
    return body


def _plan_key(
    api: Api, given: Collection[str], env: Mapping[str, str]
) -> str | HeaderTemplate | None:
    """Return where the idempotency keys of an API come from; see `RequestBuilder`.

    Args:
        api: as it was written.
        given: names of its headers, in lower case.
        env: the environment, for `${VAR}`.
    """
    if not api.idempotency_key:
        return None
    if KEY_HEADER.lower() in given:
        why = f"a header {KEY_HEADER} as well: leave one of the two out"
        raise ConfigError(why, key="idempotency_key")
    if api.idempotency_key is True:
        return api.name
    return _template(KEY_HEADER, api.idempotency_key, env, "idempotency_key")


def _url(
    api: Api, base: tuple[Origin, str] | None, env: Mapping[str, str]
) -> tuple[Origin, str, str]:
    """Return origin, target and userinfo of requests."""
    url = expand_url(api.url, env, "url")
    socket = plan_socket(None if api.socket is None else str(api.socket), env)
    if base:
        origin, prefix = base
        path = url if not url or url.startswith(("/", "?", "{/", "{?", "{+")) else f"/{url}"
        _, target, userinfo = parse_api_url(f"{origin.url}{prefix}{path}")
    else:
        origin, target, userinfo = parse_api_url(url)
    if socket and origin.socket:
        raise ConfigError("the URL names a socket, too: leave one of the two out", key="socket")
    return origin._replace(socket=socket or origin.socket), target, userinfo


def _content_type(api: Api, batch: Batch | None) -> str:
    if batch and batch.format == "ndjson":
        return "application/x-ndjson"
    return CONTENT_TYPES[_body_format(api)]


def _body_format(api: Api) -> BodyFormat:
    return api.body_format if api.text is None else "raw"


def _plan_template(api: Api) -> BodyTemplate | None:
    if api.text is not None:
        return TextTemplate(api.text)
    return None if api.json is None else JsonTemplate(api.json)


def _expression(
    key: str, text: str | None, *, strict: bool = False, is_timed: bool = False
) -> Expression | None:
    return None if text is None else Expression(key, text, strict=strict, is_timed=is_timed)


def plan_responses(api: Api) -> ResponseReader:
    """Return the reader of an API's responses.

    Raises:
        ConfigError: a status or an expression is invalid.
    """
    ok_status = parse_ok_status(api.ok_status)
    return ResponseReader(
        ok_status=ok_status,
        rules=_plan_rules(api, ok_status),
        stream=plan_stream(api),
        select=_expression("select", api.select, is_timed=True),
        capture=tuple(name.lower() for name in api.capture_headers),
    )


def plan_stream(api: Api) -> StreamReader | None:
    """Return what reads the streams of an API; None if its responses are none.

    Raises:
        ConfigError: settings contradict each other.
    """
    if api.stream is None:
        if api.last:
            why = 'only for a stream: add stream = "ndjson" or "sse", or leave it out'
            raise ConfigError(why, key="last")
        return None
    if api.batch is not None:
        why = (
            'cannot be combined with batch, which reads lines with format = "ndjson": leave it out'
        )
        raise ConfigError(why, key="stream")
    return StreamReader(api.stream, api.last)


def plan_cache(api: Api, env: Mapping[str, str]) -> CachePlan | None:
    """Return the cache of an API; None if it has none.

    Raises:
        ConfigError: a variable is not set.
    """
    if api.cache is None:
        return None
    cache = parse_cache(api.cache)
    keys = ("batch", "pages", "poll", "stream", "last", "ok_when", "ok_status")
    server = {
        "connect_to": expand_variables(api.connect_to or "", env, "connect_to"),
        "tls.cert": api.tls and parse_tls(api.tls).cert,
    }
    return CachePlan(
        dir=expand_variables(cache.dir, env, "cache.dir"),
        shown=printable(cache.dir),
        ttl=parse_duration(cache.ttl),
        max_size=parse_size(cache.max_size),
        context=context_of({key: getattr(api, key) for key in keys} | server),
    )


def _plan_rules(api: Api, ok_status: frozenset[int]) -> AnswerRules | None:
    """Return an API's rules on what answers mean; None if it has none.

    Raises:
        ConfigError: a status or an expression is invalid, or a rule has no effect.
    """
    retry_on = parse_statuses("retry_on", api.retry_on, '["5xx", 409]')
    if retry_on and retry_on <= ok_status and api.ok_when is None:
        why = "no effect, as all of these statuses are ok: leave them out of ok_status, or use"
        raise ConfigError(f"{why} ok_when to say which answers are not", key="retry_on")
    rules = AnswerRules(
        ok_when=_expression("ok_when", api.ok_when),
        retry_on=retry_on,
        retry_when=_expression("retry_when", api.retry_when),
    )
    if rules == AnswerRules():
        return None
    known = parse_rate_headers(True if api.rate_headers is None else api.rate_headers)
    return structs.replace(rules, rate_headers=known)
