"""`tls://`: certificates by the settings of Dask, on all sides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.command import environment, lines, records, run
from support.dask import Dask, dask
from support.loopback import Loopback


def settings(folder: Path) -> dict[str, str]:
    """Return Dask's settings as variables: an authority, and one certificate for each role."""
    certificates = Certificates()
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    found = {f"{tls}CA_FILE": str(certificates.write_authority(folder))}
    for role in ("scheduler", "worker", "client"):
        cert, key = certificates.write_identity(folder, f"{role}.example")
        found |= {f"{tls}{role.upper()}__CERT": str(cert), f"{tls}{role.upper()}__KEY": str(key)}
    return found


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Dask, dict[str, str]]]:
    """A cluster with TLS, and the settings of those that may use it."""
    pytest.importorskip("distributed", reason="Dask is not installed: tox -e cluster")
    known = settings(tmp_path)
    with dask(tmp_path, 2, host="tls://127.0.0.1", settings=known) as cluster:
        yield cluster, known


def test_runs_with_certificates_only(
    secure: tuple[Dask, dict[str, str]], server: Loopback, tmp_path: Path
) -> None:
    """Addresses of scheduler and members are `tls://`; those of another authority are refused."""
    cluster, known = secure
    assert cluster.address.startswith("tls://")
    args = ("-a", f"x={server.url()}", *cluster.option)
    done = run(*args, stdin=records(50), env=environment(**known))
    assert (done.returncode, len(lines(done.stdout))) == (0, 50)
    done = run("check", *args[:2], "--cluster", f"file:{cluster.file}", env=environment(**known))
    assert done.stderr.count(b", ready\n") == 2

    server.bodies.clear()
    others = tmp_path / "others"
    others.mkdir()
    for env in (settings(others), {}):
        short = environment(**env, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="2s")
        done = run(*args, stdin=records(3), env=short)
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert b"tmux-fanout: cluster: no scheduler can be reached at tls://" in done.stderr
    assert server.bodies == []
