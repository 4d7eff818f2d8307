"""TLS contexts from settings.

OpenSSL reads the files, but its errors explain little.  So this module checks the files itself,
both before OpenSSL reads them and after it has refused one.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.oauth2 import token_request
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.text import describe


class TlsUse(NamedTuple):
    """Settings, and whether HTTP/2 is offered beside HTTP/1.1."""

    tls: Tls
    http2: bool = False


Contexts = Mapping[TlsUse, ssl.SSLContext]

SYSTEM = Tls()
"""The system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")


def tls_contexts(plans: Sequence[ApiPlan]) -> Contexts:
    """Return a context for each setting that an API, a proxy or a token endpoint needs.

    Raises:
        ConfigError: a file cannot be used; the message names the API, the key and the file.
    """
    contexts: dict[TlsUse, ssl.SSLContext] = {}
    for plan in plans:
        for use in _needed(plan):
            try:
                contexts[use] = contexts.get(use) or tls_context(use.tls, http2=use.http2)
            except ConfigError as exc:
                raise exc.within(api=plan.name) from None
    return contexts


def _needed(plan: ApiPlan) -> list[TlsUse]:
    """Return the settings that an API needs, or has set: files are checked even without https."""
    is_needed = plan.tls != SYSTEM or has_tls(plan)
    needed = [TlsUse(plan.tls, plan.http2), TlsUse(plan.tls)] if is_needed else []
    is_token_tls = any(
        token_request(auth).head.origin.is_tls for auth in plan.auths if isinstance(auth, OAuth2)
    )
    if is_token_tls or has_tls_proxy(plan):
        needed.append(TlsUse(SYSTEM))
    return needed


def has_tls(plan: ApiPlan) -> bool:
    """Return whether any URL of an API is https."""
    return any(origin.is_tls for origin in (plan.origin, *(e.origin for e in plan.endpoints)))


def has_tls_proxy(plan: ApiPlan) -> bool:
    """Return whether any proxy of an API is https."""
    return any(proxy.origin.is_tls for proxy in plan.proxies.values())


def tls_context(tls: Tls, *, http2: bool = False) -> ssl.SSLContext:
    """Return a context for one group of settings.

    Args:
        tls: the settings.
        http2: whether to offer HTTP/2 beside HTTP/1.1.

    Raises:
        ConfigError: a file is missing, unreadable, or does not hold what its key requires.
    """
    if tls.ca is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        _present(context, tls.cert, tls.key)
    # A server that requires a certificate for some paths only asks for it after the handshake.
    # Some servers ask every client, and accept that there is none.  In HTTP/2 no server may ask
    # (RFC 9113, section 9.2.3), but a server that is offered HTTP/2 may choose HTTP/1.1.
    context.post_handshake_auth = True
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    """Trust the certificates in a file, or in all files of a directory."""
    if "\0" in path or not os.path.isdir(path):
        if not _CERTIFICATE.search(_content("ca", path)):
            raise _unusable("ca", path, "holds no certificate in PEM form; use a file that does")
        _load_trusted(context, path)
        return
    try:
        paths = [entry.path for entry in os.scandir(path) if entry.is_file()]
    except OSError as exc:
        raise _unreadable("ca", path, exc) from exc
    bundles = [path for path in sorted(paths) if _CERTIFICATE.search(_content("ca", path))]
    if not bundles:
        raise _unusable("ca", path, "is a directory without any certificate in PEM form")
    for bundle in bundles:
        _load_trusted(context, bundle)


def _load_trusted(context: ssl.SSLContext, path: str, key: str = "ca") -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise _unusable(key, path, "holds a damaged certificate; create the file again") from exc


def _present(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """Present a certificate of the client's, with its private key."""
    if not _CERTIFICATE.search(_content("cert", cert)):
        raise _unusable("cert", cert, "holds no certificate in PEM form; use a file that does")
    name, path = ("cert", cert) if key is None else ("key", key)
    if not _PRIVATE_KEY.search(_content(name, path)):
        advice = "; set tls.key" if key is None else "; use a file that does"
        raise _unusable(name, path, f"holds no private key in PEM form{advice}")

    def password() -> str:
        advice = "is encrypted; decrypt it with: openssl pkey -in KEY -out PLAIN"
        raise _unusable(name, path, advice)

    try:
        context.load_cert_chain(cert, key, password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            words = f"does not belong to the certificate in {describe(cert)}"
            raise _unusable(name, path, f"holds a private key that {words}") from exc
        if exc.reason and exc.reason.endswith("_TOO_SMALL"):
            words = "has a key of a type or size that OpenSSL considers unsafe; issue a new one"
            raise _unusable("cert", cert, words) from exc
        _load_trusted(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, "cert")
        raise _unusable(name, path, "holds a damaged private key; create the file again") from exc


def _content(key: str, path: str) -> bytes:
    if "\0" in path or (os.path.exists(path) and not os.path.isfile(path)):
        raise _unusable(key, path, "is not a regular file; use the path of a PEM file")
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as exc:
        raise _unusable(key, path, "does not exist; use the path of a PEM file") from exc
    except OSError as exc:
        raise _unreadable(key, path, exc) from exc


def _unreadable(key: str, path: str, exc: OSError) -> ConfigError:
    return _unusable(key, path, f"cannot be read: {os.strerror(exc.errno or 0).lower()}")


def _unusable(key: str, path: str, why: str) -> ConfigError:
    return ConfigError(f"{describe(path)} {why}", key=f"tls.{key}")
