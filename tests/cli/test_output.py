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
    """Run with files limited to `size` bytes."""
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
    """All lines go to the file, none to standard output, and a new file is private."""
    done = run("-a", f"x={server.url()}", "-o", str(out), str(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert indexes(out.read_bytes()) == list(range(50))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("emit", ["merge", "body"])
def test_every_form_may_go_to_a_file(server: Loopback, out: Path, source: Path, emit: str) -> None:
    """Other emit formats and --unordered work with a file and keep their exit status."""
    args = ["-a", f"x={server.url('/503')}", "-r", "0", "--max-failures", "10", "--unordered"]
    done = run(*args, "-e", emit, "-o", str(out), str(source))
    assert done.returncode == 4
    assert len(out.read_bytes().splitlines()) == 50


def test_a_file_that_is_not_empty_is_refused(server: Loopback, out: Path, source: Path) -> None:
    """A non-empty file is refused unless --force overwrites it; its mode is kept."""
    out.write_bytes(b"precious\n")
    out.chmod(0o644)
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    done = run(*args)
    assert (done.returncode, out.read_bytes()) == (2, b"precious\n")
    assert done.stderr.count(b"\n") == 1
    assert b"has something in it; add --resume to go on where it ends, or --force" in done.stderr
    assert not server.bodies
    assert run(*args, "--force").returncode == 0
    assert indexes(out.read_bytes()) == list(range(50))
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    out.write_bytes(b"")
    assert run(*args).returncode == 0


def test_two_processes_never_write_one_file(server: Loopback, out: Path, source: Path) -> None:
    """A second process is refused whatever its options, and the first one continues."""
    server.gate.clear()
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    with start(*args) as first:
        server.await_requests(1)
        for more in ([], ["--force"], ["--resume"]):
            second = run(*args, *more)
            assert second.returncode == 2
            assert second.stderr.count(b"\n") == 1
            assert b"another process is writing it" in second.stderr
        server.gate.set()
        assert first.wait(PATIENCE) == 0
    assert indexes(out.read_bytes()) == list(range(50))
    assert len(server.bodies) == 50


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("is_removed", [True, False])
def test_a_file_that_is_replaced_before_it_is_locked(
    out: Path, monkeypatch: pytest.MonkeyPatch, times: int, is_removed: bool
) -> None:
    """A file replaced before it is locked is opened again by name, or refused in the end."""
    replacements = [*range(times)]

    def flock_and_replace(fd: int, operation: int) -> None:
        flock(fd, operation)
        if replacements:
            replacements.pop()
            out.unlink() if is_removed else os.replace(out, out.with_suffix(".1"))

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock_and_replace)
    out.write_bytes(b"old\n")
    if times > 1:
        with pytest.raises(ConfigError, match="replaced again and again"):
            OutputFile(str(out))
        return
    file = OutputFile(str(out))
    file.write(b"new\n")
    file.close()
    assert (file.is_new, file.size, out.read_bytes()) == (True, 0, b"new\n")


def test_a_file_that_took_the_name_is_not_discarded(out: Path) -> None:
    """`discard` does not remove a file that has since taken the name."""
    file = OutputFile(str(out))
    os.replace(out, out.with_suffix(".1"))
    out.touch()
    file.discard()
    file.close()
    assert out.exists()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs sealed files")
def test_a_file_that_cannot_be_truncated_is_reported(server: Loopback, source: Path) -> None:
    """A file that cannot be truncated is one line, before any request."""
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, b"precious\n")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    args = ["-a", f"x={server.url()}", "-o", f"/proc/self/fd/{fd}", "--force", str(source)]
    with start(*args, pass_fds=[fd]) as process:
        _, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr.count(b"\n")) == (2, 1)
    assert b"cannot be overwritten: Operation not permitted" in stderr
    assert (os.pread(fd, 20, 0), server.bodies) == (b"precious\n", [])
    os.close(fd)


@pytest.mark.parametrize("how", ["name", "link", "stdin"])
def test_an_input_is_never_overwritten(
    server: Loopback, tmp_path: Path, source: Path, how: str
) -> None:
    """An input is refused as the output by its name, by a link and as standard input."""
    other = tmp_path / "other"
    os.link(source, other)
    name = str(other if how == "link" else source)
    args = ["-a", f"x={server.url()}", "-o", name, "--force"]
    with source.open("rb") as stdin:
        files = [] if how == "stdin" else [str(source)]
        process = start(*args, *files, stdin=stdin)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert b"is an input too; name another file" in err
    assert source.read_bytes() == records(50)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "that is no name of a file"),
        ("https://u:s3cret@h/x", "a URL is no FILE"),
        (".", "Is a directory; name a file to write"),
        ("no/such/folder/x", "No such file or directory; name a file to write"),
        ("x.bz2", ".bz2 is not written; name a FILE that ends in .gz or .zst"),
    ],
)
def test_an_unusable_file_is_reported_first(server: Loopback, name: str, message: str) -> None:
    """An unusable FILE is one line without secrets, before any request."""
    done = run("-a", f"x={server.url()}", "-o", name, stdin=records(1))
    text = done.stderr.decode()
    assert (done.returncode, text.count("\n")) == (2, 1)
    assert message in text
    assert "s3cret" not in text
    assert not server.bodies


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume: it is about the FILE of --output; add -o FILE"),
        (["--force", "-o", "-"], "--force: it is about the FILE of --output; add -o FILE"),
        (["--resume", "--force", "-o", "x"], "leave one of them out"),
        (["--resume", "-o", "x", "-e", "body"], "it needs --emit envelope, and not body"),
        (["--resume", "-o", "x", "--unordered"], "leave --unordered out"),
        (["--resume", "-o", "x.gz"], "what is compressed cannot be gone on with"),
        (["--resume", "-o", "/dev/null"], "is no regular file"),
    ],
)
def test_conflicting_options_are_reported(options: list[str], message: str) -> None:
    """Conflicting options are one line, and nothing is sent or written."""
    done = run("-a", "x=http://127.0.0.1:1/", *options, stdin=records(1))
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert message in done.stderr.decode()
    assert not Path("x").exists()


def test_the_configuration_file_may_set_the_output(
    server: Loopback, tmp_path: Path, out: Path
) -> None:
    """The configuration file may set `output` and `resume`, and a flag overrides it."""
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
    """The file name selects gzip or Zstandard, which other programs can read."""
    packed = tmp_path / "x.jsonl.gz"
    assert run("-a", f"x={server.url()}", "-o", str(packed), str(source)).returncode == 0
    assert indexes(gzip.decompress(packed.read_bytes())) == list(range(50))
    packed = tmp_path / "x.ZST"
    assert run("-a", f"x={server.url()}", "-o", str(packed), str(source)).returncode == 0
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
    assert indexes(unpacked) == list(range(50))


def test_missing_zstandard_is_reported(tmp_path: Path) -> None:
    """Without the zstandard package the error names the command that installs it."""
    (tmp_path / "zstandard.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = environment(PYTHONPATH=path)
    done = run("-a", "x=http://127.0.0.1:1/", "-o", str(tmp_path / "x.zst"), env=env)
    assert done.returncode == 2
    assert b"pip install 'tmux-fanout[zstd]'" in done.stderr
    assert not (tmp_path / "x.zst").exists()


def test_a_dash_is_standard_output(server: Loopback) -> None:
    """`-o -` is standard output, as `-` is standard input."""
    done = run("-a", f"x={server.url()}", "-o", "-", "-", stdin=records(2))
    assert indexes(done.stdout) == [0, 1]


def test_devices_and_pipes_are_written_too(server: Loopback, tmp_path: Path, source: Path) -> None:
    """Devices and pipes need no --force, and a pipe closed by its reader gives 141."""
    args = ["-a", f"x={server.url()}", str(source), "-o"]
    assert run(*args, "/dev/null").returncode == 0
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start(*args, str(fifo)) as process:
        assert indexes(fifo.read_bytes()) == list(range(50))
        assert process.wait(PATIENCE) == 0
    server.gate.clear()
    with start(*args, str(fifo)) as process:
        os.close(os.open(fifo, os.O_RDONLY))
        assert process.wait(PATIENCE) == 141
        assert process.stderr
        assert process.stderr.read() == b""


def test_control_characters_are_escaped_on_a_terminal_only(server: Loopback, out: Path) -> None:
    """Control characters are escaped if the output file is a terminal, and only then."""
    record = '"\x7f\x9b2J"'.encode()
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", "-o", str(out), stdout=theirs) as process:
        os.close(theirs)
        process.communicate(record + b"\n", timeout=PATIENCE)
    os.close(ours)
    assert record in out.read_bytes()
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", "-o", os.ttyname(theirs)) as process:
        process.communicate(record + b"\n", timeout=PATIENCE)
    assert json.loads(os.read(ours, 65536))["record"] == json.loads(record)
    os.close(theirs)
    os.close(ours)


def test_closed_standard_output_is_ignored(server: Loopback, out: Path) -> None:
    """With -o, standard output may be closed."""
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
    """At the size limit the run ends with one line and a complete last line, and can resume."""
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
    """A full disk ends the run with one line: the system's error."""
    done = run("-a", f"x={server.url()}", "-q", "-o", "/dev/full", str(source))
    assert done.returncode == 1
    assert done.stderr == b"tmux-fanout: cannot write the output: No space left on device\n"


def test_compressed_output_may_hit_the_limit_on_close(
    server: Loopback, tmp_path: Path, source: Path
) -> None:
    """A write error that appears only when a compressed file is closed is reported too."""
    packed = tmp_path / "x.gz"
    done = run_limited(100, "-a", f"x={server.url()}", "-o", str(packed), str(source))
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first == "tmux-fanout: cannot write the output: File too large"
    assert "50 records: 50 ok" in second
    assert "ended by: output failed" in second
