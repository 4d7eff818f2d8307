"""Settings of an API without its secrets, which build otherwise identical requests.

Each `${VAR}` becomes a placeholder, for which the shell's own expansion is shown in the end;
secrets written in plain text become `***`, as wherever settings are shown.

Only the origin of a URL is expanded: requests cannot be built without it, and it is not secret.
If a variable holds the whole origin, and perhaps more (`url = "${HOOK}"`), an alias stands for it,
so that its value is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from tmux_fanout.core.config.endpoint_plan import at
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_auth, parse_endpoints, parse_poll
from tmux_fanout.core.explain.shell import Placeholders
from tmux_fanout.core.http.auth import Basic, Bearer, Digest, OAuth2, Signer
from tmux_fanout.core.http.oauth2 import parse_params
from tmux_fanout.core.http.urls import VARIABLE, fit_value, parse_url
from tmux_fanout.core.merging.inheritance import sent_headers
from tmux_fanout.core.redaction import (
    hide,
    is_secret_param,
    redact_header,
    redact_setting,
    redact_url,
)
from tmux_fanout.core.requests.options import EndpointSettings, PollSettings
from tmux_fanout.core.routes.sockets import parse_api_url

_SITE_WITH_FIELDS = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_SITE = re.compile(r"[^/?#{]*://[^/?#{]*")
_SCHEME = re.compile(r"[A-Za-z][\w-]* +(?=\$\{)", re.ASCII)  # RFC 9110, section 11.4

# A user in plain text beside a password from a variable, and so not secret.
_USER = re.compile(r"\w+://([\w.-]+):[^/?#@]*\$\{\w+\}[^/?#@]*@", re.ASCII)


class MaskedApi(msgspec.Struct, frozen=True, kw_only=True):
    """An API with placeholders for its secrets.

    Attributes:
        api: its settings, with the credentials and headers of its first endpoint, without those
            for connecting, and without `auth` except `bearer`.
        user: `user:password` for HTTP Basic, or Digest.
        is_digest: whether it is for Digest.
        oauth2: client credentials.
        signer: the function that returns headers to add; "" if there is none.
        proxy: URL of the proxy.
        socket: path of the Unix socket under `socket`.
        connect_to: where to connect instead of host and port of the URL.
        others: keys of the other endpoints that requests there depend on, for remarks.
        warnings: reasons why the command may send something else than the run.
    """

    api: Api
    user: str | None
    is_digest: bool
    oauth2: OAuth2 | None
    signer: str
    proxy: str | None
    socket: str | None
    connect_to: str | None
    others: tuple[str, ...]
    warnings: tuple[str, ...]


def mask_api(api: Api, env: Mapping[str, str], placeholders: Placeholders) -> MaskedApi:
    """Return an API with placeholders; a plan for it with the same `env` must be possible."""
    return _Masker(env, placeholders).api(api)


def _own_keys(endpoint: EndpointSettings) -> str:
    own = {"auth": endpoint.auth is not None, "headers": bool(endpoint.headers)}
    return " and ".join(key for key, is_set in own.items() if is_set)


def _redacted_url(url: str) -> str:
    """Redact a URL, but keep the user that a command needs beside a variable."""
    user, shown = _USER.match(url), redact_url(url)
    return shown.replace("://***:", f"://{user[1]}:", 1) if user else shown


def _redacted(name: str, value: str) -> str:
    """Redact a header's value, but keep what a command needs beside a variable.

    That is the scheme of credentials and the name of a cookie.
    """
    name = name.lower()
    if name == "cookie":
        return "; ".join(map(_redacted_cookie, value.split("; ")))
    scheme = _SCHEME.match(value) if name.endswith("authorization") else None
    return scheme[0] + hide(value[scheme.end() :]) if scheme else redact_header(name, value)


def _redacted_cookie(pair: str) -> str:
    name, sign, value = pair.partition("=")
    return name + sign + hide(value) if VARIABLE.search(value) else hide(pair)


class _Piece(NamedTuple):
    """A part of a URL: its position once all is expanded, and the variable that it comes from."""

    start: int
    end: int
    value: str
    variable: str | None


class _Masker:
    def __init__(self, env: Mapping[str, str], placeholders: Placeholders) -> None:
        self._env = env
        self._placeholders = placeholders
        self._warnings: list[str] = []

    def api(self, api: Api) -> MaskedApi:
        endpoints = parse_endpoints(api.endpoints)
        bases = [self._url(endpoint.url, is_base=True)[0] for endpoint in endpoints]
        user: str | None = None
        if endpoints:
            api = at(api, endpoints[0])
            url = self._text(redact_url(api.url))
            self._check_target(self._pieces(api.url))
        elif api.hosts is not None:
            url = self._url_of_record(api.url)
        else:
            url, user = self._url(api.url)
        auth = None if api.auth is None else parse_auth(api.auth)
        bearer = Bearer(self._text(hide(auth.token))) if isinstance(auth, Bearer) else None
        headers = {
            name: self._header(name, text) for name, text in sent_headers(api.headers).items()
        }
        if isinstance(auth, (Basic, Digest)):
            user = self._user(auth)
        elif bearer or "authorization" in {name.lower() for name in headers}:
            user = None
        return MaskedApi(
            api=msgspec.structs.replace(
                api,
                url=url,
                endpoints=bases,
                headers=headers,
                json=redact_setting("json", api.json),
                auth=bearer,
                poll=self._poll(api.poll),
                tls=None,
                proxy=None,
                socket=None,
                connect_to=None,
                http2=False,
                client=None,
                cache=None,
            ),
            user=user,
            is_digest=isinstance(auth, Digest),
            oauth2=self._oauth2(auth) if isinstance(auth, OAuth2) else None,
            signer=auth.name if isinstance(auth, Signer) else "",
            proxy=None if api.proxy is None else self._text(_redacted_url(api.proxy)),
            socket=None if api.socket is None else self._text(str(api.socket)),
            connect_to=None if api.connect_to is None else self._text(api.connect_to),
            others=tuple(map(_own_keys, endpoints[1:])),
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _poll(self, poll: Any) -> PollSettings | None:
        if poll is None:
            return None
        settings = parse_poll(poll)
        is_whole = "://" in "".join(piece.value for piece in self._pieces(settings.url))
        shown = self._url(settings.url)[0] if is_whole else self._text(redact_url(settings.url))
        return msgspec.structs.replace(settings, url=shown)

    def _text(self, text: str) -> str:
        """Replace the variables of redacted text by placeholders."""
        return VARIABLE.sub(lambda match: self._placeholders.variable(match[1]), text)

    def _header(self, name: str, value: str) -> str:
        for variable in VARIABLE.findall(value):
            if not self._env[variable].isascii():
                self._warn(variable, f"is not ASCII: header {name} needs it in Latin-1")
        return self._text(_redacted(name, value))

    def _user(self, auth: Basic | Digest) -> str:
        user = auth.user if VARIABLE.search(auth.password) else hide(auth.user)
        return f"{self._text(user)}:{self._text(hide(auth.password))}"

    def _oauth2(self, auth: OAuth2) -> OAuth2:
        return OAuth2(
            token_url=self._text(redact_url(auth.token_url)),
            client_id=self._text(auth.client_id),
            client_secret=self._text(hide(auth.client_secret)),
            scope=self._text(auth.scope) if auth.scope else None,
            params=tuple(
                (name, self._text(hide(text) if is_secret_param(name) else text))
                for name, text in parse_params(auth.params)
            ),
            auth_method=auth.auth_method,
        )

    def _url(self, url: str, *, is_base: bool = False) -> tuple[str, str | None]:
        """Return a whole URL with placeholders, and its `user:password`.

        Args:
            url: as it is written.
            is_base: whether a path follows that begins with a slash.
        """
        pieces = self._pieces(_redacted_url(url))
        whole = "".join(piece.value for piece in pieces)
        site = _SITE.match(whole)
        assert site is not None  # or its plan would have failed
        end, after_scheme = site.end(), whole.index("://") + 3
        at = whole.rfind("@", after_scheme, end)
        spans = _Spans(after_scheme, at, end)
        rest = max([piece.end for piece in pieces if spans.is_straddled_by(piece)], default=0)

        def masked(start: int, stop: int | None = None) -> str:
            return "".join(self._shown(p, spans, start, stop, is_base) for p in pieces)

        self._check(pieces, spans)
        if not rest:
            user = masked(after_scheme, at) if at >= 0 else None
            if user is not None and ":" not in user:
                user += ":"
            host = max(at + 1, after_scheme)
            return whole[:after_scheme] + whole[host:end] + masked(end), user
        rest = max(rest, end)
        origin, _, _ = parse_api_url(whole)
        if origin.socket:  # curl does not know such URLs, and no variable can stand for them
            return redact_url(whole), None
        return self._placeholders.alias(f"{origin}/", masked(0, rest)) + masked(rest), None

    def _url_of_record(self, url: str) -> str:
        """Return a URL whose host comes from the record; what is fixed of the host stays."""
        pieces = self._pieces(redact_url(url))
        whole = "".join(piece.value for piece in pieces)
        site = _SITE_WITH_FIELDS.match(whole)
        end = site.end() if site else 0
        self._check_target([piece for piece in pieces if piece.start >= end])
        return "".join(
            piece.value
            if piece.variable is None or piece.end <= end
            else self._placeholders.variable(piece.variable)
            for piece in pieces
        )

    def _pieces(self, url: str) -> list[_Piece]:
        pieces: list[_Piece] = []
        whole, end = "", 0
        for match in VARIABLE.finditer(url):
            literal = url[end : match.start()]
            end = match.end()
            pieces.append(_Piece(len(whole), len(whole + literal), literal, None))
            whole += literal
            value = fit_value(self._env[match[1]], whole, url[end:])
            pieces.append(_Piece(len(whole), len(whole + value), value, match[1]))
            whole += value
        return [*pieces, _Piece(len(whole), len(whole + url[end:]), url[end:], None)]

    def _shown(
        self, piece: _Piece, spans: _Spans, start: int, stop: int | None, is_base: bool
    ) -> str:
        """Return the part of a piece between two positions, with a placeholder for a variable."""
        if piece.variable is None or spans.is_origin(piece):
            first = max(start - piece.start, 0)
            last = len(piece.value) if stop is None else max(stop - piece.start, 0)
            return piece.value[first:last]
        if piece.start < start or (stop is not None and piece.start >= stop):
            return ""
        cut = "/" if is_base and piece.value.endswith("/") else ""
        return self._placeholders.variable(piece.variable, cut)

    def _check(self, pieces: list[_Piece], spans: _Spans) -> None:
        for piece in pieces:
            if piece.variable is None or spans.is_origin(piece):
                continue
            if spans.is_user(piece):
                if unquote(piece.value) != self._env[piece.variable]:
                    self._warn(piece.variable, "has %XX in it: here it is needed without them")
            elif piece.start >= spans.end:
                self._check_target([piece])

    def _check_target(self, pieces: list[_Piece]) -> None:
        for piece in pieces:
            if piece.variable is None:
                continue
            if parse_url(f"http://host/{piece.value}")[1] != f"/{self._env[piece.variable]}":
                self._warn(piece.variable, "is no part of a URL as it is: here it needs %XX")

    def _warn(self, variable: str, what: str) -> None:
        self._warnings.append(f"{variable} {what}")


class _Spans(NamedTuple):
    """The positions of a URL's origin and userinfo.

    Attributes:
        after_scheme: the position after `://`.
        at: the position of the `@` after userinfo, or -1.
        end: the end of the origin.
    """

    after_scheme: int
    at: int
    end: int

    def is_user(self, piece: _Piece) -> bool:
        return self.after_scheme <= piece.start and piece.end <= self.at

    def is_origin(self, piece: _Piece) -> bool:
        """Whether a piece lies within the origin."""
        beside_user = self.at < 0 or piece.end <= self.after_scheme or piece.start > self.at
        return piece.end <= self.end and beside_user

    def is_straddled_by(self, piece: _Piece) -> bool:
        """Whether a variable spans several parts of the URL, or may do so."""
        if piece.variable is None or self.is_user(piece) or self.is_origin(piece):
            return False
        return piece.start <= self.end
