"""A run never reads what it writes."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, environment, lines, records, start
from support.loopback import Loopback

SOURCE = records(3)

WAYS = {
    "name": "{run} in.jsonl >> in.jsonl",
    "other name": "{run} ./link.jsonl >> in.jsonl",
    "symbolic link": "{run} in.jsonl >> symbolic.jsonl",
    "standard input": "{run} < in.jsonl >> in.jsonl",
    "dash": "{run} other.jsonl - < in.jsonl >> in.jsonl",
    "descriptor": "{run} /dev/fd/3 3< in.jsonl >> in.jsonl",
    "standard input by name": "{run} /dev/stdin < in.jsonl >> in.jsonl",
    "standard output by name": "{run} in.jsonl -o /dev/stdout >> in.jsonl",
    "one of several": "{run} other.jsonl in.jsonl >> in.jsonl",
    "workers": "{run} --workers 2 in.jsonl >> in.jsonl",
    "read and write": "{run} < in.jsonl 1<> in.jsonl",
    "standard error": "{run} -v in.jsonl 2>> in.jsonl",
    "standard error alone": "{run} -q in.jsonl -o out.jsonl 2>> in.jsonl",
    "FIFO": "{run} fifo 3<> fifo > fifo",
    "FIFO by name": "{run} fifo -o fifo",
    "dead letters": "{run} fifo --failed fifo",
    "explain": "{command} explain -n 9 {apis} in.jsonl >> in.jsonl",
    "verify": "{command} verify in.jsonl other.jsonl >> in.jsonl",
    "convert": "{command} convert in.jsonl -e merge >> in.jsonl",
    "report": "{command} report in.jsonl --text >> in.jsonl",
    "report's summary": "{command} report other.jsonl --summary-file in.jsonl >> in.jsonl",
    "verify's output": "{command} verify other.jsonl in.jsonl >> in.jsonl",
}


def shell(script: str, folder: Path, url: str) -> subprocess.CompletedProcess[bytes]:
    command = " ".join(COMMAND)
    apis = f"-a x={url}"
    text = script.format(run=f"{command} {apis}", command=command, apis=apis)
    return subprocess.run(
        ["sh", "-c", text],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that has a file under three names, another file, and a FIFO."""
    (tmp_path / "in.jsonl").write_bytes(SOURCE)
    (tmp_path / "other.jsonl").write_bytes(records(2))
    os.link(tmp_path / "in.jsonl", tmp_path / "link.jsonl")
    (tmp_path / "symbolic.jsonl").symlink_to("in.jsonl")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.mark.parametrize("script", WAYS.values(), ids=WAYS.keys())
def test_an_output_that_is_an_input_is_refused(server: Loopback, folder: Path, script: str) -> None:
    """One line says so before anything is sent, and the input stays as it is."""
    done = shell(script, folder, server.url())
    goes_to_input = script.endswith("2>> in.jsonl")
    said = (folder / "in.jsonl").read_bytes().removeprefix(SOURCE) if goes_to_input else done.stderr
    assert (done.returncode, said.count(b"\n")) == (2, 1)
    assert b" an input" in said
    assert b"another file" in said
    assert goes_to_input or (folder / "in.jsonl").read_bytes() == SOURCE
    assert server.bodies == []
    assert not (folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    "script",
    [
        "{run} in.jsonl >> out.jsonl",
        "cat in.jsonl | {run} | cat > out.jsonl",
        "{run} in.jsonl > out.jsonl 2> err",
        "{run} in.jsonl -o out.jsonl 2>&1",
        "{run} fifo > out.jsonl & cat in.jsonl > fifo; wait",
    ],
)
def test_another_file_is_no_matter(server: Loopback, folder: Path, script: str) -> None:
    """Files, pipes and FIFOs that are not the input are written as ever."""
    assert shell(script, folder, server.url()).returncode == 0
    assert (folder / "out.jsonl").read_bytes().count(b"\n") == 3


def test_a_socket_may_be_both(server: Loopback) -> None:
    """What is written to a socket goes to its other end, and does not come back."""
    ours, theirs = socket.socketpair()
    with ours, start("-a", f"x={server.url()}", stdin=theirs, stdout=theirs) as process:
        theirs.close()
        ours.sendall(b"1\n")
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as reader:
            assert [line["record"] for line in lines(reader.read())] == [1]
    assert process.returncode == 0
