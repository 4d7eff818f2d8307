"""Certificates for servers on loopback, issued by an authority of the test run."""

from __future__ import annotations

import ssl
from datetime import datetime
from functools import cached_property
from pathlib import Path

import trustme


class Certificates:
    """Makes the TLS contexts of both sides."""

    @cached_property
    def _authority(self) -> trustme.CA:
        return trustme.CA()

    def server(
        self,
        name: str = "127.0.0.1",
        *,
        expired: bool = False,
        trusted: bool = True,
        mutual: bool = False,
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for `name`, valid by default.

        With `mutual` it requires a client certificate issued by the authority.
        """
        authority = self._authority if trusted else trustme.CA()
        end = datetime(2020, 1, 1) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, not_after=end).configure_cert(context)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)
        return context

    def self_signed(self) -> ssl.SSLContext:
        """Return a server's context with a self-signed certificate."""
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = authority.private_key_pem.bytes() + authority.cert_pem.bytes()
        with trustme.Blob(pem).tempfile() as path:
            context.load_cert_chain(path)
        return context

    def write_authority(self, directory: Path) -> Path:
        """Write a file with the authority's certificate."""
        path = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return path

    def write_identity(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write two files: a certificate issued by the authority, and its private key."""
        issued = self._authority.issue_cert(name)
        cert, key = directory / f"{name}.pem", directory / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key

    def client(self) -> ssl.SSLContext:
        """Return a client's context that trusts the authority."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context
