"""Several hosts on one machine: network namespaces on a bridge, as far as the system allows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager


class NotAllowed(Exception):
    """The system has no network namespaces for us; says why."""


class Host:
    """A network namespace.

    Args:
        name: of the namespace.
        address: the only one that it has but for loopback.

    Attributes:
        address: as above.
    """

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self.address = address

    def __repr__(self) -> str:
        return f"<Host {self.address}>"

    @property
    def command(self) -> Sequence[str]:
        """The start of a command that runs there."""
        return ("ip", "netns", "exec", self._name)

    def unplug(self) -> None:
        """Take it off the network, without a word to those it is connected with."""
        _ip("-n", self._name, "link", "set", "eth0", "down")


@contextmanager
def hosts(count: int) -> Iterator[tuple[str, Sequence[Host]]]:
    """Have so many hosts for the block, and an address of ours that they reach.

    Raises:
        NotAllowed: there are no network namespaces here.
    """
    if not shutil.which("ip"):
        raise NotAllowed("there is no ip command")
    mine = f"tf{os.getpid() % 100_000}"
    net = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
    with ExitStack() as stack:
        _ip("link", "add", mine, "type", "bridge")
        stack.callback(_ip, "link", "del", mine)
        _ip("addr", "add", f"{net}.1/24", "dev", mine)
        _ip("link", "set", mine, "up")
        found = []
        for number in range(count):
            name, address = f"{mine}-{number}", f"{net}.{number + 10}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", f"{mine}v{number}", "type", "veth", "peer", "eth0", "netns", name)
            _ip("link", "set", f"{mine}v{number}", "master", mine, "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for each in ("eth0", "lo"):
                _ip("-n", name, "link", "set", each, "up")
            found.append(Host(name, address))
        yield f"{net}.1", found


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, check=False, timeout=60)
    if done.returncode:
        why = done.stderr.decode().strip() or f"exit status {done.returncode}"
        raise NotAllowed(f"`ip {' '.join(arguments)}`: {why}")
