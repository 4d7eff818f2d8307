"""Results to a file: -o and --force."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from support.command import COMMAND, PATIENCE, environment, lines, records, run, start
from support.loopback import Loopback

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.engine.io.output_file import OutputFile

LIMITED = (
    "import resource, sys, os;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY));"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


def run_limited(size: int, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Run where no file may become larger."""
    command = [sys.executable, "-c", LIMITED, str(size), "-m", "tmux_fanout", *args]
    return subprocess.run(
        command, env=environment(), capture_output=True, timeout=PATIENCE, check=False
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(records(50))
    return path


def indexes(output: bytes) -> list[int]:
    return [line["index"] for line in lines(output)]


def test_results_go_to_the_file_alone(server: Loopback, out: Path, source: Path) -> None:
    """All lines go to the file, which only its owner can read, and none to standard output."""
    done = run("-a", f"x={server.url()}", "-o", str(out), str(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert indexes(out.read_bytes()) == list(range(50))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("emit", ["merge", "body"])
def test_every_form_may_go_to_a_file(server: Loopback, out: Path, source: Path, emit: str) -> None:
    """And so may lines in the order of completion; the contract of the exit status is the same."""
    args = ["-a", f"x={server.url('/503')}", "-r", "0", "--max-failures", "10", "--unordered"]
    done = run(*args, "-e", emit, "-o", str(out), str(source))
    assert done.returncode == 4
    assert len(out.read_bytes().splitlines()) == 50


def test_a_file_that_holds_something_is_left(server: Loopback, out: Path, source: Path) -> None:
    """One line says what may be done; --force overwrites it, and its rights stay; empty is free."""
    out.write_bytes(b"precious\n")
    out.chmod(0o644)
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    done = run(*args)
    assert (done.returncode, out.read_bytes()) == (2, b"precious\n")
    assert done.stderr.count(b"\n") == 1
    assert b"is not empty: add --resume to continue where it ends, or --force" in done.stderr
    assert not server.bodies
    assert run(*args, "--force").returncode == 0
    assert indexes(out.read_bytes()) == list(range(50))
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    out.write_bytes(b"")
    assert run(*args).returncode == 0


def test_two_processes_never_write_one_file(server: Loopback, out: Path, source: Path) -> None:
    """The second is refused with one line, whatever it was told, and the first goes on."""
    server.gate.clear()
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    with start(*args) as first:
        server.await_requests(1)
        for more in ([], ["--force"], ["--resume"]):
            second = run(*args, *more)
            assert second.returncode == 2
            assert second.stderr.count(b"\n") == 1
            assert b"another process is writing this file" in second.stderr
        server.gate.set()
        assert first.wait() == 0
    assert indexes(out.read_bytes()) == list(range(50))
    assert len(server.bodies) == 50


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("is_removed", [True, False])
def test_a_file_that_is_replaced_before_it_is_locked(
    out: Path, monkeypatch: pytest.MonkeyPatch, times: int, is_removed: bool
) -> None:
    """Results go to the file of that name, and not to one that nobody sees; or nowhere."""
    moments = [*range(times)]

    def replaced(fd: int, operation: int) -> None:
        flock(fd, operation)
        if moments:
            moments.pop()
            out.unlink() if is_removed else os.replace(out, out.with_suffix(".1"))

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", replaced)
    out.write_bytes(b"old\n")
    if times > 1:
        with pytest.raises(ConfigError, match="keeps being replaced"):
            OutputFile(str(out))
        return
    file = OutputFile(str(out))
    file.write(b"new\n")
    file.close()
    assert (file.is_new, file.size, out.read_bytes()) == (True, 0, b"new\n")


def test_a_file_of_another_is_not_discarded(out: Path) -> None:
    """Which has the name by now."""
    file = OutputFile(str(out))
    os.replace(out, out.with_suffix(".1"))
    out.touch()
    file.discard()
    file.close()
    assert out.exists()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs a file that is sealed")
def test_a_file_that_cannot_be_emptied_is_told(server: Loopback, source: Path) -> None:
    """In one line, and before a request."""
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, b"precious\n")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    args = ["-a", f"x={server.url()}", "-o", f"/proc/self/fd/{fd}", "--force", str(source)]
    with start(*args, pass_fds=[fd]) as process:
        _, said = process.communicate()
    assert (process.returncode, said.count(b"\n")) == (2, 1)
    assert b"cannot be overwritten, Operation not permitted: " in said
    assert (os.pread(fd, 20, 0), server.bodies) == (b"precious\n", [])
    os.close(fd)


@pytest.mark.parametrize("how", ["name", "link", "stdin"])
def test_an_input_is_never_overwritten(
    server: Loopback, tmp_path: Path, source: Path, how: str
) -> None:
    """The output may not be an input, under any name."""
    other = tmp_path / "other"
    os.link(source, other)
    name = str(other if how == "link" else source)
    args = ["-a", f"x={server.url()}", "-o", name, "--force"]
    with source.open("rb") as stdin:
        files = [] if how == "stdin" else [str(source)]
        process = start(*args, *files, stdin=stdin)
        _, err = process.communicate()
    assert process.returncode == 2
    assert b"is an input, too: use another file" in err
    assert source.read_bytes() == records(50)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "invalid file name: use one such as"),
        ("https://u:s3cret@h/x", "invalid file name (a URL): use the"),
        (".", "Is a directory; name a file that can be created"),
        ("no/such/folder/x", "No such file or directory; name a file that can be created"),
        ("x.bz2", "cannot write .bz2; name a FILE that ends in .gz or .zst"),
    ],
)
def test_what_cannot_be_written_is_told_first(server: Loopback, name: str, message: str) -> None:
    """In one line, without a request, and without what may be a secret."""
    done = run("-a", f"x={server.url()}", "-o", name, stdin=records(1))
    text = done.stderr.decode()
    assert (done.returncode, text.count("\n")) == (2, 1)
    assert message in text
    assert "s3cret" not in text
    assert not server.bodies


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume without --output: add -o FILE"),
        (["--force", "-o", "-"], "--force without --output: add -o FILE"),
        (["--resume", "--force", "-o", "x"], "leave one of the two out"),
        (["--resume", "-o", "x", "-e", "body"], "--resume with --emit body: use --emit envelope"),
        (["--resume", "-o", "x", "--unordered"], "leave --unordered out"),
        (["--resume", "-o", "x.gz"], "a compressed file cannot be resumed"),
        (["--resume", "-o", "/dev/null"], "is not a regular file"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: list[str], message: str) -> None:
    """By `run`, which then sends and writes nothing."""
    done = run("-a", "x=http://127.0.0.1:1/", *options, stdin=records(1))
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert message in done.stderr.decode()
    assert not Path("x").exists()


def test_the_configuration_file_may_say_it(server: Loopback, tmp_path: Path, out: Path) -> None:
    """A service resumes whenever it is started; a flag wins over that."""
    config = tmp_path / "c.toml"
    config.write_text(f'[run]\noutput = "{out}"\nresume = true\n[api.x]\nurl = "{server.url()}"\n')
    for count in (2, 5):
        assert run("-c", str(config), "-q", stdin=records(count)).returncode == 0
    assert indexes(out.read_bytes()) == list(range(5))
    assert len(server.bodies) == 5
    assert run("-c", str(config), "--force", stdin=records(3)).returncode == 0
    assert (indexes(out.read_bytes()), len(server.bodies)) == ([0, 1, 2], 8)


def test_gzip_and_zstandard_are_written_by_name(
    server: Loopback, tmp_path: Path, source: Path
) -> None:
    """Other programs read them."""
    packed = tmp_path / "x.jsonl.gz"
    assert run("-a", f"x={server.url()}", "-o", str(packed), str(source)).returncode == 0
    assert indexes(gzip.decompress(packed.read_bytes())) == list(range(50))
    packed = tmp_path / "x.ZST"
    assert run("-a", f"x={server.url()}", "-o", str(packed), str(source)).returncode == 0
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
    assert indexes(unpacked) == list(range(50))


def test_zstandard_that_is_missing_is_told(tmp_path: Path) -> None:
    """With the command that brings it."""
    (tmp_path / "zstandard.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = environment(PYTHONPATH=path)
    done = run("-a", "x=http://127.0.0.1:1/", "-o", str(tmp_path / "x.zst"), env=env)
    assert done.returncode == 2
    assert b"pip install 'tmux-fanout[zstd]'" in done.stderr
    assert not (tmp_path / "x.zst").exists()


def test_a_dash_is_standard_output(server: Loopback) -> None:
    """As it is for inputs."""
    done = run("-a", f"x={server.url()}", "-o", "-", "-", stdin=records(2))
    assert indexes(done.stdout) == [0, 1]


def test_devices_and_pipes_are_written_too(server: Loopback, tmp_path: Path, source: Path) -> None:
    """They hold nothing, so nothing is refused; a reader who goes is one who goes."""
    args = ["-a", f"x={server.url()}", str(source), "-o"]
    assert run(*args, "/dev/null").returncode == 0
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start(*args, str(fifo)) as process:
        assert indexes(fifo.read_bytes()) == list(range(50))
        assert process.wait() == 0
    server.gate.clear()
    with start(*args, str(fifo)) as process:
        os.close(os.open(fifo, os.O_RDONLY))
        assert process.wait() == 141
        assert process.stderr
        assert process.stderr.read() == b""


def test_only_a_terminal_is_spared_steering(server: Loopback, out: Path) -> None:
    """Into a file bytes pass as they are, though standard output may be a terminal."""
    record = '"\x7f\x9b2J"'.encode()
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", "-o", str(out), stdout=theirs) as process:
        os.close(theirs)
        process.communicate(record + b"\n")
    os.close(ours)
    assert record in out.read_bytes()
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", "-o", os.ttyname(theirs)) as process:
        process.communicate(record + b"\n")
    assert json.loads(os.read(ours, 65536))["record"] == json.loads(record)
    os.close(theirs)
    os.close(ours)


def test_closed_standard_output_is_no_matter(server: Loopback, out: Path) -> None:
    """Nothing would go there."""
    command = " ".join([*COMMAND, "-a", f"x={server.url()}", "-o", str(out)])
    script = f"echo 1 | {command} >&-"
    done = subprocess.run(
        ["sh", "-c", script], env=environment(), capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr, indexes(out.read_bytes())) == (0, b"", [0])


@pytest.mark.parametrize("limit", [1, 1000, 5000])
def test_size_limit_leaves_a_file_that_resumes(
    server: Loopback, out: Path, source: Path, limit: int
) -> None:
    """The run ends with one line of error, and the file with a whole line; it can be resumed."""
    args = ["-a", f"x={server.url()}", str(source), "-o", str(out)]
    done = run_limited(limit, *args, "-q")
    assert done.returncode == 1
    assert done.stderr == b"tmux-fanout: cannot write the output: File too large\n"
    count = len(lines(out.read_bytes()))
    assert len(out.read_bytes()) <= limit
    done = run(*args, "--resume", "--summary", "json")
    assert (done.returncode, json.loads(done.stderr)["there"]) == (0, count)
    assert indexes(out.read_bytes()) == list(range(50))


def test_full_disk_ends_the_run_with_one_line(server: Loopback, source: Path) -> None:
    """In the system's words."""
    done = run("-a", f"x={server.url()}", "-q", "-o", "/dev/full", str(source))
    assert done.returncode == 1
    assert done.stderr == b"tmux-fanout: cannot write the output: No space left on device\n"


def test_what_is_compressed_may_hit_the_limit_at_the_end(
    server: Loopback, tmp_path: Path, source: Path
) -> None:
    """An error at the very last write is reported like any other."""
    packed = tmp_path / "x.gz"
    done = run_limited(100, "-a", f"x={server.url()}", "-o", str(packed), str(source))
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first == "tmux-fanout: cannot write the output: File too large"
    assert "50 records: 50 ok" in second
    assert "ended by: output failed" in second
