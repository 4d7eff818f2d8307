"""Mutual TLS with a real nginx: which clients it admits, and how the others fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.nginx import NGINX, NO_NGINX, nginx

from tmux_fanout import Api, ConfigError, Result, fanout_sync
from tmux_fanout.core.config.settings import TransportName

pytestmark = pytest.mark.skipif(NGINX is None, reason=NO_NGINX)

SERVER = """
ssl_certificate {cert}; ssl_certificate_key {key};
ssl_client_certificate {ca}; ssl_verify_client on;
location / {{ default_type application/json; return 200 '{{"verified":"$ssl_client_verify"}}'; }}
"""


class Guarded:
    """An nginx that requires a client certificate, and the files of several clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = Certificates()
        self.ca = self.certificates.write_authority(folder)
        self.cert, self.key = self.certificates.write_identity(folder, "client.test")
        (folder / "theirs").mkdir()
        self.stranger = Certificates().write_identity(folder / "theirs", "client.test")
        self.port = 0

    def call(self, transport: TransportName, records: int = 1, **tls: Any) -> list[Result]:
        """Run some records with these settings, and return the outcomes."""
        settings = {key: str(value) if key != "verify" else value for key, value in tls.items()}
        url = f"https://127.0.0.1:{self.port}/"
        api = Api("a", url, tls=settings, transport=transport)
        return list(fanout_sync(range(records), [api], retries=0))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path_factory.mktemp("mtls"))
    cert, key = guarded.certificates.write_identity(guarded.folder, "127.0.0.1")
    (guarded.folder / "nginx").mkdir()
    server = SERVER.format(cert=cert, key=key, ca=guarded.ca)
    with nginx(guarded.folder / "nginx", server, "ssl") as guarded.port:
        yield guarded


@pytest.fixture(params=["native", "httpx"])
def transport(request: pytest.FixtureRequest) -> TransportName:
    name: TransportName = request.param
    return name


def test_nginx_lets_our_certificate_in(guarded: Guarded, transport: TransportName) -> None:
    """Every record succeeds, on every connection."""
    ours: dict[str, Any] = {"cert": guarded.cert, "key": guarded.key}
    results = guarded.call(transport, 200, ca=guarded.ca, **ours)
    assert [result.ok for result in results] == [True] * 200
    assert results[0]["a"].body == {"verified": "SUCCESS"}


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_nginx_refuses_others(guarded: Guarded, transport: TransportName, who: str) -> None:
    """It completes the handshake, and then answers 400."""
    cert, key = guarded.stranger
    ours: dict[str, Any] = {} if who == "nobody" else {"cert": cert, "key": key}
    [result] = guarded.call(transport, ca=guarded.ca, **ours)
    assert (result.ok, result["a"].status) == (False, 400)


def test_nginx_is_refused_where_its_authority_is_unknown(
    guarded: Guarded, transport: TransportName
) -> None:
    """Unless verification is off."""
    ours: dict[str, Any] = {"cert": guarded.cert, "key": guarded.key}
    [result] = guarded.call(transport, **ours)
    assert result["a"].error
    assert result["a"].error.kind == "tls"
    assert "not accepted: unable to get local issuer certificate" in result["a"].error.message
    [result] = guarded.call(transport, **ours, verify=False)
    assert result.ok


def test_a_key_that_does_not_match_is_told_at_once(guarded: Guarded) -> None:
    """The error is reported before anything is sent."""
    with pytest.raises(ConfigError, match=r"^API 'a': tls\.key: .* does not belong to"):
        guarded.call("native", ca=guarded.ca, cert=guarded.cert, key=guarded.stranger[1])
