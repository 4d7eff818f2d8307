"""Processes of the command, forked from one that has loaded its modules.

Loading them takes longer than most tests do otherwise.  The processes differ from others in nothing
else: they have their own arguments, environment, folder and standard streams, and end as usual.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

_MAX_MESSAGE = 64 << 10
_PRELOADED = (
    "tmux_fanout.__main__",
    "tmux_fanout.cli.main",
    "tmux_fanout.cli.commands.run",
    "tmux_fanout.engine.run.local_pipeline",
    "tmux_fanout.transports.native",
)
# What a process reads when it begins; a process with other values cannot be forked.
_AT_START = ("PYTHON", "LC_", "LANG", "TZ")


class Hangs(Exception):
    """A process does not end; the text is its output so far."""


class Zygote:
    """Forks processes of the command.

    Args:
        environment: of the process that they are forked from.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._at_start = _at_start(environment)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tests = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [tests, environment.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**environment, "PYTHONPATH": path},
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process; those that were forked go on."""
        self._control.close()
        self._process.wait()

    def can_run(self, args: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Return whether a process with these arguments and this environment can be forked."""
        size = len(_message(args, environment))
        return size <= _MAX_MESSAGE and _at_start(environment) == self._at_start

    def run(
        self, args: Sequence[str], stdin: bytes, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run the command to its end; return its exit status, or minus the signal, and its output.

        Raises:
            Hangs: it takes longer than `timeout` seconds; it is killed.
        """
        streams = [os.pipe() for _ in range(3)]
        ours, theirs = socket.socketpair()
        given = [streams[0][0], streams[1][1], streams[2][1]]
        kept = [streams[0][1], streams[1][0], streams[2][0]]
        with theirs:
            message = _message(args, environment)
            socket.send_fds(self._control, [message], [*given, theirs.fileno()])
        for descriptor in given:
            os.close(descriptor)
        out, err = bytearray(), bytearray()
        threads = [
            Thread(target=_write, args=(kept[0], stdin), daemon=True),
            Thread(target=_read, args=(kept[1], out), daemon=True),
            Thread(target=_read, args=(kept[2], err), daemon=True),
        ]
        for thread in threads:
            thread.start()
        with ours:
            ours.settimeout(timeout)
            pid = int(_reply(ours))
            try:
                status = int(_reply(ours))
            except TimeoutError:
                _kill(pid, ours)
                raise Hangs(err[-8000:].decode(errors="replace")) from None
        for thread in threads:
            thread.join(timeout)
        return status, bytes(out), bytes(err)


def _message(args: Sequence[str], environment: Mapping[str, str]) -> bytes:
    request = {"args": list(args), "environment": dict(environment), "folder": os.getcwd()}
    return json.dumps(request).encode()


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(_AT_START)}


def _reply(reply: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = reply.recv(1)
        assert piece, "the process that forks others has died"
        line += piece
    return line


def _kill(pid: int, reply: socket.socket) -> None:
    """Have a process show its stacks, if it can, and end it."""
    reply.settimeout(2)
    for number in (signal.SIGCONT, signal.SIGABRT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if number != signal.SIGCONT:
            with suppress(TimeoutError):
                _reply(reply)
                return


def _write(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        view = memoryview(data)
        while view:
            view = view[pipe.write(view) :]


def _read(descriptor: int, data: bytearray) -> None:
    with open(descriptor, "rb", buffering=0) as pipe:
        while piece := pipe.read(1 << 16):
            data += piece


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a process for each request, and return in each; return None at the end of requests."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _MAX_MESSAGE + 1, 4)
        _bury()
        if not data:
            return None
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        *streams, reply = descriptors
        pid = os.fork()
        if not pid:
            os.close(reply)
            return json.loads(data), streams
        _report(pid, reply, streams)


def _bury() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _report(pid: int, reply: int, streams: Sequence[int]) -> NoReturn:
    """Tell the process that asked for it which process runs, and how it ended."""
    for descriptor in (*streams, 0, 1, 2):
        os.close(descriptor)
    os.write(reply, b"%d\n" % pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        os.write(reply, b"%d\n" % status)
    os._exit(0)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.path.remove(str(Path(__file__).parents[1]))
    for name in _PRELOADED:
        __import__(name)
    gc.freeze()
    with control:
        found = _serve(control)
    if found is None:
        return
    request, streams = found
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    command = sys.modules["tmux_fanout.__main__"]
    sys.argv = [str(command.__file__), *request["args"]]
    command.main()


if __name__ == "__main__":
    main()
