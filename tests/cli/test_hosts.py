"""Hosts from records, as processes: what is called, and what never gets a byte."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.command import PATIENCE, environment, lines, run

PAGE = ("-i", "lines", "-X", "GET", "-a", "page={+value}")

# The command with a resolver of the test's own.  a-b-c-d.v4.test is a.b.c.d, a-b--c.v6.test is
# a:b::c, rebind.test is 127.0.0.2 and 127.0.0.1 in turns, and any other *.test is 127.0.0.1.
# Each address that is connected to is a line of standard error.
WITH_NAMES = """
import itertools, socket, sys
numeric, answers = socket.getaddrinfo, itertools.cycle(["127.0.0.2", "127.0.0.1"])

def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        print("connect", args[1][0], file=sys.stderr)

sys.addaudithook(watch)

def resolve(host):
    if host == "rebind.test":
        return next(answers)
    if host.endswith(".v4.test"):
        return host.removesuffix(".v4.test").replace("-", ".")
    if host.endswith(".v6.test"):
        return host.removesuffix(".v6.test").replace("-", ":")
    return "127.0.0.1"

def look_up(host, port, family=0, type=0, proto=0, flags=0):
    host = host.decode() if isinstance(host, bytes) else host
    if not flags & socket.AI_NUMERICHOST and host.endswith(".test"):
        host = resolve(host)
    return numeric(host, port, family, type, proto, flags)

socket.getaddrinfo = look_up
from tmux_fanout.__main__ import main
sys.argv[0] = "tmux-fanout"
main()
"""


class Everywhere(ThreadingHTTPServer):
    """A server on all loopback addresses, which counts connections by their local address."""

    daemon_threads = True
    request_queue_size = 1024
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), _Handler)
        self.connections: Counter[str] = Counter()
        self.hosts: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is not an error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Everywhere

    def setup(self) -> None:
        with self.server.lock:
            self.server.connections[self.request.getsockname()[0]] += 1
        super().setup()

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.hosts[self.headers["Host"]] += 1
        body = json.dumps(self.headers["Host"]).encode()
        target = self.path.partition("?to=")[2]
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def everywhere() -> Iterator[Everywhere]:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.2", 0))
        with Everywhere() as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server
            server.shutdown()
            thread.join()
        return
    pytest.skip("this system has one loopback address only")


def run_with_names(*args: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command with the resolver above."""
    return subprocess.run(
        [sys.executable, "-c", WITH_NAMES, *args],
        input=stdin,
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )


def connections(done: subprocess.CompletedProcess[bytes]) -> set[str]:
    """Return the addresses that the command has tried to connect to."""
    shown = done.stderr.decode().splitlines()
    return {line.removeprefix("connect ") for line in shown if line.startswith("connect ")}


def errors(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any] | None]:
    return [line["results"]["page"].get("error") for line in lines(done.stdout)]


def test_three_hundred_hosts_are_called(everywhere: Everywhere) -> None:
    """A list of absolute URLs is fetched, each from the host that it names, in order."""
    hosts = [f"127.0.{n // 250}.{n % 250 + 1}:{everywhere.port}" for n in range(300)]
    given = "".join(f"http://{host}/x\n" for host in hosts).encode()
    done = run(*PAGE, "--hosts", f"127.0.0.0/16:{everywhere.port}", stdin=given)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["results"]["page"]["body"] for line in lines(done.stdout)] == hosts
    assert everywhere.hosts == Counter(hosts)


def test_three_hundred_names_are_called(everywhere: Everywhere) -> None:
    """Each is looked up, and called by its own name."""
    hosts = [f"h{n}.test:{everywhere.port}" for n in range(300)]
    given = "".join(f"http://{host}/x\n" for host in hosts).encode()
    listed = ("--hosts", "*:*", "--hosts", f"127.0.0.1:{everywhere.port}")
    done = run_with_names(*PAGE, *listed, stdin=given)
    assert done.returncode == 0
    assert [line["results"]["page"]["body"] for line in lines(done.stdout)] == hosts
    assert connections(done) == {"127.0.0.1"}


SPECIAL = [
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "2130706433", "0x7f.1", "0x7f000001"),
    *("0177.1", "017700000001", "127.1", "127.0.0.1.", "0", "0.0.0.0", "evil.test", "rebind2.test"),
    *(
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[fd00::1]",
    ),
    *("[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::a00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:a00:1::]"),
    *("[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[ff02::1]", "[fec0::1]"),
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "10.0.0.1", "192.168.0.1", "172.16.0.1"),
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "\uff11\uff12\uff17.0.0.1", "127\u30020.0.1"),
    *(
        "169-254-169-254.v4.test",
        "10-0-0-1.v4.test",
        "0-0-0-0.v4.test",
        "--.v6.test",
        "--1.v6.test",
    ),
    *("--ffff-a00-1.v6.test", "64-ff9b--a00-1.v6.test", "2002-a00-1--.v6.test"),
    *("fd00--1.v6.test", "fe80--1.v6.test"),
]


@pytest.mark.parametrize("way", ["record", "redirect"])
def test_nothing_connects_to_special_addresses(
    everywhere: Everywhere, tmp_path: Path, way: str
) -> None:
    """Whatever a special address is written as, or comes from, there is no attempt to connect."""
    port = everywhere.port
    given = [f"{scheme}://{host}:{port}/" for host in SPECIAL for scheme in ("http", "https")]
    if way == "redirect":
        ascii_only = [url for url in given if url.isascii()]
        given = [f"http://127.0.0.2:{port}/?to={url}" for url in ascii_only]
    config = tmp_path / "c.toml"
    config.write_text(
        '[run]\ninput_format = "lines"\n[api.page]\nurl = "{+value}"\nmethod = "GET"\n'
        f'hosts = ["*:*", "127.0.0.2:{port}"]\nredirects = 2\n'
    )
    done = run_with_names("-c", str(config), stdin="\n".join(given).encode())
    assert done.returncode == 1
    found = errors(done)
    assert len(found) == len(given)
    assert all(found)
    listed = {"127.0.0.2"} if way == "redirect" else set()
    assert connections(done) == set(everywhere.connections) == listed


@pytest.mark.parametrize(
    "key", ['transport = "httpx"', 'transport = "asks"', "http2 = true", 'proxy = "http://a.test/"']
)
def test_what_does_not_check_addresses_is_refused(tmp_path: Path, key: str) -> None:
    """Other transports and proxies would resolve names themselves."""
    config = tmp_path / "c.toml"
    config.write_text(f'[api.page]\nurl = "{{+url}}"\nmethod = "GET"\nhosts = ["*"]\n{key}\n')
    done = run_with_names("-c", str(config), stdin=b'{"url": "http://a.test/"}\n')
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"hosts" in done.stderr
    assert not connections(done)


def test_no_byte_goes_where_no_record_may_lead(everywhere: Everywhere) -> None:
    """Addresses, names and redirects that lead to a loopback address get no connection."""
    port = everywhere.port
    given = [
        f"http://127.0.0.1:{port}/",
        f"http://localhost:{port}/",
        f"http://[::1]:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        f"http://2130706433:{port}/",
        f"http://0x7f.1:{port}/",
        f"http://0177.1:{port}/",
        f"http://0:{port}/",
        f"http://evil.test:{port}/",
        f"http://u:p@evil.test:{port}/",
        f"http://127.0.0.2:{port}/?to=http://127.0.0.1:{port}/",
        f"http://127.0.0.2:{port}/?to=http://evil.test:{port}/",
        "http://169.254.169.254/",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
    ]
    done = run_with_names(
        *(*PAGE, "--hosts", "*:*", "--hosts", f"127.0.0.2:{port}"),
        stdin="\n".join(given).encode(),
    )
    assert done.returncode == 1
    assert len(lines(done.stdout)) == len(given)
    assert all(errors(done))
    assert set(everywhere.connections) == {"127.0.0.2"}


def test_a_name_that_rebinds_reaches_only_what_was_checked(everywhere: Everywhere) -> None:
    """Every second look-up of a name leads to an address that is not allowed."""
    port = everywhere.port
    given = f"http://rebind.test:{port}/\n".encode() * 20
    done = run_with_names(*(*PAGE, "--hosts", "*:*", "--hosts", f"127.0.0.2:{port}"), stdin=given)
    assert len(lines(done.stdout)) == 20
    assert connections(done) == set(everywhere.connections) == {"127.0.0.2"}


def test_redirects_and_tables_in_a_file(everywhere: Everywhere, tmp_path: Path) -> None:
    """The keys of a file do what the options do; redirects lead to other hosts."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[run]\ninput_format = "lines"\n[api.page]\nurl = "{+value}"\nmethod = "GET"\n'
        f'hosts = ["127.0.0.0/8:{everywhere.port}"]\nhost_limit = 2\nredirects = 2\n'
    )
    end = f"http://127.0.0.3:{everywhere.port}/end"
    given = f"http://127.0.0.2:{everywhere.port}/?to={end}\n".encode()
    done = run("-c", str(config), stdin=given)
    [line] = lines(done.stdout)
    assert line["results"]["page"]["body"] == f"127.0.0.3:{everywhere.port}"
    assert line["results"]["page"]["attempts"] == 2


def test_workers_share_each_host(everywhere: Everywhere) -> None:
    """Several processes give the same lines as one, and count the hosts together."""
    hosts = [f"127.0.0.{n % 10 + 1}:{everywhere.port}" for n in range(200)]
    given = "".join(f"http://{host}/x\n" for host in hosts).encode()
    done = run(
        *(*PAGE, "--hosts", f"127.0.0.0/8:{everywhere.port}"),
        *("--workers", "2", "--chunk-size", "10", "--summary", "json"),
        stdin=given,
    )
    assert done.returncode == 0
    assert [line["results"]["page"]["body"] for line in lines(done.stdout)] == hosts
    counted = json.loads(done.stderr)["apis"]["page"]["hosts"]
    assert sorted(each["calls"] for each in counted) == [20] * 10


def test_workers_are_limited_by_host_limit(everywhere: Everywhere) -> None:
    """More workers than attempts at one host are not started, and the user is told."""
    given = f"http://127.0.0.1:{everywhere.port}/\n".encode()
    config = ("--hosts", f"127.0.0.1:{everywhere.port}", "--workers", "9")
    done = run(*PAGE, *config, stdin=given)
    assert done.returncode == 0
    assert (
        done.stderr
        == b"tmux-fanout: --workers is 8: page's host_limit of 8 cannot be shared by 9\n"
    )


def test_summary_names_the_busiest_hosts(everywhere: Everywhere) -> None:
    """The table at the end has a row for each of them."""
    given = f"http://127.0.0.1:{everywhere.port}/\n".encode() * 3
    done = run(*PAGE, "--hosts", f"127.0.0.1:{everywhere.port}", "--summary", "table", stdin=given)
    assert b"busiest hosts" in done.stderr
    assert f"page: http://127.0.0.1:{everywhere.port}".encode() in done.stderr


def test_explain_shows_the_request_or_why_there_is_none() -> None:
    """A record's URL is shown as curl would call it; a host that is refused is explained."""
    given = b"https://a.test/x?y=1\nhttp://10.0.0.1/\n"
    done = run("explain", "-n", "2", *PAGE, "--hosts", "*", stdin=given)
    shown = done.stdout.decode()
    assert "curl 'https://a.test/x?y=1'" in shown
    assert "# page: a run connects to addresses that its hosts allow, curl to any" in shown
    assert "the address 10.0.0.1 is not public; to allow it, list it in hosts" in shown
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (PAGE, "a host cannot come from a record, unless hosts lists those that may"),
        ((*PAGE, "--hosts", "a:b"), "invalid host 'a:b'"),
        (("-a", "x=https://a.test/", "--hosts", "*"), "--hosts: no -a API takes its host"),
        (("--hosts", "*"), "--hosts: no -a API that it could apply to"),
    ],
)
def test_mistakes_are_one_line(args: tuple[str, ...], message: str) -> None:
    """The command ends with 2, and one line says what to write."""
    done = run("check", *args)
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    assert message in line
