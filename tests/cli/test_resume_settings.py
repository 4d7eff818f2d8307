"""What --resume says about an output that was written with other settings."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.command import COMMAND, environment, lines, records, run
from support.loopback import Loopback

from tmux_fanout.engine.io.output_file import FINGERPRINT, mark

COUNT = 10


def has_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, FINGERPRINT, b"x")
        os.removexattr(folder, FINGERPRINT)
    except (OSError, AttributeError):
        return False
    return True


@pytest.fixture
def out(tmp_path: Path) -> Path:
    if not has_attributes(tmp_path):
        pytest.skip("the file system has no attributes")
    return tmp_path / "out.jsonl"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(records(COUNT))
    return path


def cut(path: Path, count: int = 4) -> bytes:
    """Leave the first lines of a file, as a run that was killed does, and a torn one."""
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:count]) + whole[count][:9])
    return path.read_bytes()


def config(folder: Path, text: str) -> str:
    path = folder / "c.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (["--select", "id"], ["--select", "[id]"], "select of API 'x'"),
        ([], ["--select", "id"], "select of API 'x'"),
        (["--when", "id"], [], "when of API 'x'"),
        ([], ["-X", "PUT"], "method of API 'x'"),
        (["--body", "id"], ["--body", "@", "-X", "PUT"], "method and body of API 'x'"),
        (["--join", "first"], [], "join"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_other_settings_are_refused(
    server: Loopback,
    out: Path,
    source: Path,
    before: list[str],
    after: list[str],
    named: str,
    workers: str,
) -> None:
    """One line names them; nothing is sent and nothing changes, unless --resume-anyway says so."""
    args = ["-a", f"x={server.url()}", "-o", str(out), "--workers", workers, str(source)]
    assert run(*args, *before).returncode == 0
    torn = cut(out)
    server.bodies.clear()
    done = run(*args, *after, "--resume")
    said = done.stderr.decode()
    assert (done.returncode, said.count("\n"), server.bodies) == (3, 1, [])
    assert f"'{out}' was written with other settings: {named}; use those" in said
    assert "or --resume-anyway to go on with the new ones; nothing was changed" in said
    assert out.read_bytes() == torn
    assert run(*args, *after, "--resume-anyway").returncode == 0
    assert [line["index"] for line in lines(out.read_bytes())] == list(range(COUNT))
    cut(out)
    assert run(*args, *after, "--resume").returncode == 0  # these settings are now the file's


def test_a_configuration_file_is_compared_as_well(
    server: Loopback, out: Path, source: Path, tmp_path: Path
) -> None:
    """What is ok, and what comes after what; limits, keys and times may change."""
    api = f'url = "{server.url()}?key=OLD"\nheaders = {{ X-Api-Key = "OLD" }}\n'
    text = f'[api.x]\n{api}[api.y]\n{api}after = ["x"]\n'
    args = ["-c", config(tmp_path, text), "-o", str(out), str(source)]
    assert run(*args).returncode == 0
    cut(out)
    config(tmp_path, text.replace("OLD", "NEW") + "limit = 2\ntimeout = 3\n")
    assert run(*args, "--resume", "--retries", "5").returncode == 0
    cut(out)
    config(tmp_path, text.replace('after = ["x"]', 'ok_status = ["2xx", 404]'))
    done = run(*args, "--resume")
    assert done.returncode == 3
    assert b"settings: ok_status and after of API 'y'; " in done.stderr
    assert b"NEW" not in os.getxattr(out, FINGERPRINT)


def test_what_has_no_line_yet_can_be_written_in_another_way(
    server: Loopback, out: Path, source: Path
) -> None:
    """A torn line alone, or lines that were overwritten, mix with nothing."""
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    assert run(*args).returncode == 0
    cut(out, 0)
    assert run(*args, "--select", "id", "--resume").returncode == 0
    assert run(*args, "--force").returncode == 0
    cut(out)
    assert run(*args, "--resume").returncode == 0
    assert {line["results"]["x"]["body"]["id"] for line in lines(out.read_bytes())} == {
        *range(COUNT)
    }


def test_other_apis_and_another_input_are_named_first(
    server: Loopback, out: Path, source: Path
) -> None:
    """--resume-anyway would not help there."""
    assert run("-a", f"x={server.url()}", "-o", str(out), str(source)).returncode == 0
    args = ["-o", str(out), "--select", "id"]
    done = run(*args, "-a", f"y={server.url()}", "--resume", str(source))
    assert (done.returncode, b"has the APIs x, not y" in done.stderr) == (3, True)
    source.write_bytes(records(COUNT, first=1))
    done = run(*args, "-a", f"x={server.url()}", "--resume-anyway", str(source))
    assert (done.returncode, b"does not match record 0" in done.stderr) == (3, True)


def test_output_of_the_shell_is_marked_as_well(server: Loopback, out: Path, source: Path) -> None:
    """What `>` empties keeps the attribute of an earlier run, which no longer counts."""
    base = ["-a", f"x={server.url()}", str(source)]
    assert run(*base, "-o", str(out)).returncode == 0
    with out.open("wb") as file:
        subprocess.run(
            [*COMMAND, *base, "--select", "id"], stdout=file, env=environment(), check=True
        )
    cut(out)
    assert run(*base, "--resume", "-o", str(out)).returncode == 3
    assert run(*base, "--select", "id", "--resume", "-o", str(out)).returncode == 0


def test_mended_output_has_the_settings_that_mended_it(
    server: Loopback, out: Path, source: Path
) -> None:
    """The new file that --mend puts in place of the old one is resumed with them."""
    args = ["-a", f"x={server.url('/404')}", "-o", str(out), str(source)]
    assert run(*args, "-q").returncode == 1
    args[1] = f"x={server.url()}"
    assert run(*args, "--mend").returncode == 0
    cut(out)
    assert run(*args, "--resume").returncode == 0
    cut(out)
    args[1] = f"x={server.url('/404')}"
    done = run(*args, "--resume")
    assert (done.returncode, b"settings: url of API 'x'; " in done.stderr) == (3, True)


def test_lines_alone_decide_where_there_are_no_attributes(
    server: Loopback, out: Path, source: Path
) -> None:
    """Nothing is said of an output that has none, or one that this version cannot read."""
    args = ["-a", f"x={server.url()}", "-o", str(out), str(source)]
    for attribute in (b"", b"\xff", b'{"version":99,"settings":"x"}'):
        assert run(*args, "--force").returncode == 0
        cut(out)
        os.removexattr(out, FINGERPRINT)
        if attribute:
            os.setxattr(out, FINGERPRINT, attribute)
        done = run(*args, "--select", "id", "--resume")
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOSPC, errno.EPERM, None])
def test_a_file_system_without_attributes_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    """A mark that cannot be set is left out, and so is one that no longer holds."""
    path = tmp_path / "x"
    path.touch()
    fd = os.open(path, os.O_RDWR)
    mark(fd, b"old")

    def refuse(*_: Any) -> None:
        raise OSError(code, "refused")

    if code is None:
        monkeypatch.delattr(os, "setxattr", raising=False)
    else:
        monkeypatch.setattr(os, "setxattr", refuse, raising=False)
    mark(fd, b"new")
    os.close(fd)
    if code is not None:
        assert FINGERPRINT not in os.listxattr(path)


def test_other_forms_are_not_marked(server: Loopback, out: Path, source: Path) -> None:
    """They cannot be resumed."""
    assert (
        run("-a", f"x={server.url()}", "-e", "merge", "-o", str(out), str(source)).returncode == 0
    )
    assert os.listxattr(out) == []


def test_resume_anyway_stands_for_resume(server: Loopback, out: Path, source: Path) -> None:
    """It needs no --resume beside it, and goes with what --resume goes with."""
    args = ["-a", f"x={server.url()}", str(source)]
    for more, said in (
        ([], b"--resume without --output: add -o FILE"),
        (["-o", str(out), "--force"], b"--resume keeps FILE and --force overwrites it"),
        (["-o", str(out), "-e", "body"], b"use --emit envelope"),
    ):
        done = run(*args, "--resume-anyway", *more)
        assert (done.returncode, said in done.stderr) == (2, True)
    assert run(*args, "--resume-anyway", "-o", str(out)).returncode == 0
    cut(out)
    assert run(*args, "--resume-anyway", "--resume", "-o", str(out)).returncode == 0


def test_another_folder_of_files_is_refused(
    server: Loopback, out: Path, source: Path, tmp_path: Path
) -> None:
    """The same paths mean other files there; how the folder is spelled does not matter."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    api = (
        f'[api.x]\nurl = "{server.url()}"\nbody_format = "multipart"\nbody = "{{f: file(\'f\')}}"\n'
    )
    args = ["-c", config(tmp_path, api + 'files_root = "one"'), "-o", str(out), str(source)]
    assert run(*args).returncode == 0
    cut(out)
    config(tmp_path, api + 'files_root = "two/../one"')
    assert run(*args, "--resume").returncode == 0
    cut(out)
    config(tmp_path, api + 'files_root = "two"')
    done = run(*args, "--resume")
    assert done.returncode == 3
    assert (
        "was written with other settings: files_root of API 'x'; use those" in done.stderr.decode()
    )
