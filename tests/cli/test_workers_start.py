"""What the children of `--workers` inherit from their parent, forked or started afresh."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.command import Process, environment, lines, records, run, start
from support.loopback import Loopback
from support.processes import children_of, outlived


def targets_of(pid: int) -> dict[int, str]:
    """Return what each descriptor of a process refers to (proc(5)); every pipe is distinct."""
    directory = Path(f"/proc/{pid}/fd")
    return {int(entry.name): os.readlink(entry) for entry in directory.iterdir()}


def pipes_of(pid: int) -> set[str]:
    """Return a process's pipes, except standard error, which all may share."""
    return {
        target for fd, target in targets_of(pid).items() if target.startswith("pipe:") and fd != 2
    }


@contextmanager
def held_run(server: Loopback, *args: str) -> Iterator[Process]:
    """Start a run of two children, and kill the first so that it is replaced.

    Six requests are then pending at the server, two of them from the replacement. The children must
    end before the block does.
    """
    server.gate.clear()
    with start("--workers", "2", *args) as process:
        try:
            server.await_requests(4)
            os.kill(children_of(process.pid)[0], signal.SIGKILL)
            server.await_requests(2)
            with outlived(children_of(process.pid)):
                yield process
        finally:
            process.kill()


def test_child_has_only_its_own_descriptors(server: Loopback, tmp_path: Path) -> None:
    """A child has its own pipes only; the files are open in the parent alone."""
    source, out, failed = (str(tmp_path / f"{name}.jsonl") for name in ("in", "out", "failed"))
    Path(source).write_bytes(records(100))
    args = ["-a", f"x={server.url()}", "-l", "4", "-X", "GET", "-o", out, "--failed", failed]
    with held_run(server, *args, source) as process:
        assert {out, failed} < set(targets_of(process.pid).values())
        children = children_of(process.pid)
        for targets in map(targets_of, children):
            assert not {source, out, failed} & set(targets.values())
            assert targets[0] == targets[1] == os.devnull
        one, other = map(pipes_of, children)
        assert len(one) == len(other) == 2
        assert not one & other
        server.gate.set()
        assert process.wait() == 0
    assert len(lines(Path(out).read_bytes())) == 100


def test_secrets_are_on_no_command_line(server: Loopback, tmp_path: Path) -> None:
    """A child gets secrets through its pipe, not by its command line or environment."""
    config, source = tmp_path / "c.toml", tmp_path / "in.jsonl"
    config.write_text(
        f'[api.x]\nurl = "{server.url("/?key=s3cret")}"\nmethod = "GET"\n'
        'headers = { X-Key = "s3cret" }\n'
    )
    source.write_bytes(records(4))
    with held_run(server, "-c", str(config), str(source)) as process:
        for pid in children_of(process.pid):
            assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()
        server.gate.set()
        assert process.wait() == 0
    assert {headers["X-Key"] for headers in server.headers} == {"s3cret"}


def test_children_end_when_the_run_is_refused(server: Loopback, tmp_path: Path) -> None:
    """A run refused after its children have started prints the same error as one process."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(2))
    out.write_bytes(b'{"index":0}\n')
    args = ["-a", f"x={server.url()}", str(source), "-o", str(out), "--resume"]
    alone, shared = run(*args), run(*args, "--workers", "2")
    assert (shared.returncode, shared.stderr) == (alone.returncode, alone.stderr)
    assert shared.returncode == 3


def test_process_that_cannot_be_started_is_a_usage_error(server: Loopback, tmp_path: Path) -> None:
    """If too few files may be open for the pipes, the run exits with 2 and keeps the output."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(2))
    out.write_bytes(b"precious\n")

    def allow_few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    args = ["-a", f"x={server.url()}", str(source), "--workers", "9", "-o", str(out), "--force"]
    with start(*args, preexec_fn=allow_few_files) as process:
        _, err = process.communicate()
    assert (process.returncode, out.read_bytes()) == (2, b"precious\n")
    ending = b" of 9 cannot be started: Too many open files; ask for fewer\n"
    assert err.startswith(b"tmux-fanout: --workers: process ")
    assert err.endswith(ending)
    assert err.count(b"\n") == 1


def test_run_continues_if_a_child_cannot_be_replaced(server: Loopback, tmp_path: Path) -> None:
    """If a dead child cannot be replaced, the other one finishes the run."""
    server.gate.clear()
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(100))
    args = ["-a", f"x={server.url()}", "-l", "4", "--workers", "2", "-X", "GET", str(source)]
    with start(*args) as process:
        try:
            server.await_requests(4)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, 3))
            os.kill(children_of(process.pid)[0], signal.SIGKILL)
            assert process.stderr
            messages = [process.stderr.readline() for _ in range(2)]
            server.gate.set()
            out, _ = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0
    assert [line["index"] for line in lines(out)] == list(range(100))
    assert messages[0].startswith(b"tmux-fanout: worker process 0 died (signal 9); of its records ")
    assert (
        messages[1] == b"tmux-fanout: worker process 0 cannot be restarted: Too many open files\n"
    )


def test_process_with_threads_is_not_forked(server: Loopback, tmp_path: Path) -> None:
    """In a process with threads, as under a debugger, children are started afresh."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, threading\n"
        "if 'tmux_fanout.engine.workers.child' not in sys.orig_argv:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(10))
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    server.gate.clear()
    args = ["-a", f"x={server.url()}", "--workers", "2", str(source)]
    with start(*args, env=environment(PYTHONPATH=path)) as process:
        try:
            server.await_requests(10)
            for pid in children_of(process.pid):
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                assert b"tmux_fanout.engine.workers.child" in arguments
            server.gate.set()
            out, err = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, err, len(lines(out))) == (0, b"", 10)


def test_children_may_end_while_sigchld_is_ignored(server: Loopback, tmp_path: Path) -> None:
    """The run succeeds with SIGCHLD ignored, when the kernel reaps its children by itself."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(10))

    def ignore_children() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    args = ["-a", f"x={server.url()}", "--workers", "2", str(source)]
    with start(*args, preexec_fn=ignore_children) as process:
        out, err = process.communicate()
    assert (process.returncode, err, len(lines(out))) == (0, b"", 10)
