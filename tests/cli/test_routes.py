"""The command on Unix sockets, and on other hosts than those of its URLs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from support.command import environment, lines, records, run
from support.loopback import Loopback, loopback


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--transport", "httpx")])
def test_run_on_a_socket(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Records are sent there in one process and in several, and proxies do not matter."""
    with loopback(path=str(tmp_path / "x.sock")) as server:
        args = ("-a", f"a={server.url('/v1')}", "-q", *options)
        done = run(*args, stdin=records(300), env=environment(http_proxy="http://127.0.0.1:1"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["results"]["a"]["status"] for line in lines(done.stdout)] == [200] * 300
    assert len(server.bodies) == 300
    assert {each["Host"] for each in server.headers} == {"localhost"}


def test_run_spreads_over_sockets(tmp_path: Path) -> None:
    """Endpoints on sockets are told apart, also where one of them is missing."""
    with (
        loopback(path=str(tmp_path / "x.sock")) as first,
        loopback(path=str(tmp_path / "y.sock")) as second,
    ):
        urls = [first.url(""), second.url(""), first.url("").replace("x.sock", "gone.sock")]
        config = tmp_path / "c.toml"
        config.write_text(f'[api.a]\nurl = "/v1"\nbalance = "round-robin"\nendpoints = {urls}\n')
        done = run("-c", str(config), "-r", "9", stdin=records(200))
    assert done.returncode == 0
    assert min(len(first.bodies), len(second.bodies)) > 20
    assert len(first.bodies) + len(second.bodies) == 200


def test_run_says_why_a_socket_does_not_serve(tmp_path: Path) -> None:
    """Each record gets its line, with the path."""
    path = tmp_path / "gone.sock"
    url = f"http+unix://{quote(str(path), safe='')}/"
    done = run("-a", f"a={url}", "-r", "0", "-q", stdin=records(2))
    assert done.returncode == 1
    [error, _] = [line["results"]["a"]["error"] for line in lines(done.stdout)]
    assert error["kind"] == "connect"
    assert f"the socket {path}: no such file or directory" in error["message"]


def test_records_never_choose_a_socket(tmp_path: Path) -> None:
    """Whatever a record says, it names a host."""
    with loopback(path=str(tmp_path / "x.sock")) as server:
        bad = f'"{server.url()}"\n"unix:{tmp_path}/x.sock"\n"http+unix:{tmp_path}/x.sock"\n'
        done = run("-a", "a={+value}", "--hosts", "*", "--hosts", "localhost", stdin=bad.encode())
    assert done.returncode == 1
    kinds = [line["results"]["a"]["error"]["kind"] for line in lines(done.stdout)]
    assert kinds == ["template"] * 3
    assert not server.bodies


def test_given_url_is_where_requests_go(server: Loopback, tmp_path: Path) -> None:
    """`-a` takes the place of whatever the file says of the way there."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[defaults]\nsocket = "/gone"\n'
        '[api.a]\nurl = "http://a.test"\nconnect_to = "b.test:1"\n[api.a.headers]\nX-A = "1"\n'
    )
    args = ("-a", f"a={server.url()}", "-a", f"new={server.url()}")
    done = run("-c", str(config), *args, stdin=records(1))
    assert done.returncode == 0
    assert sorted(each.get("X-A", "") for each in server.headers) == ["", "1"]


def test_connect_to_leads_elsewhere(server: Loopback, tmp_path: Path) -> None:
    """The name in the URL is never looked up."""
    config = tmp_path / "c.toml"
    there = f"127.0.0.1:{server.server_address[1]}"
    config.write_text(f'[api.a]\nurl = "http://api.invalid/v1"\nconnect_to = "{there}"\n')
    assert run("-c", str(config), stdin=records(3)).returncode == 0
    assert {each["Host"] for each in server.headers} == {"api.invalid"}
    shown = run("explain", "-c", str(config), stdin=records(1))
    assert f"http://api.invalid/v1 --compressed --max-time 30 --connect-to ::{there}" in (
        shown.stdout.decode()
    )
