"""Files below a folder: whatever a path says, nothing else is opened."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tmux_fanout.transports.layers.beneath import Refused, open_beneath

OUT = "a symbolic link leads out of files_root"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with files, and with links of all kinds."""
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a").write_text("a")
    (root / "sub" / "b").write_text("b")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "rootling").mkdir()
    (tmp_path / "rootling" / "x").write_text("secret")
    os.mkfifo(root / "fifo")
    links = {
        "file": "a",
        "down": "sub/b",
        "folder": "sub",
        "again": "folder/b",
        "sub/up": "../a",
        "sub/deep/up": "../.././a",
        "sub/over": "../sub/deep/../b",
        "here": str(root / "sub" / "b"),
        "root": str(root),
        "out": "../secret",
        "sub/out": "../../secret",
        "away": str(tmp_path / "secret"),
        "near": str(tmp_path / "rootling" / "x"),
        "above": "..",
        "parent": str(tmp_path),
        "passwd": "/etc/passwd",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "broken": "nix",
        "back": "../root/a",
        "pipe": "fifo",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


def read(root: Path | str, path: str) -> str:
    descriptor, found = open_beneath(str(root), path.split("/"))
    with open(descriptor, encoding="utf-8") as file:
        assert os.fstat(descriptor).st_ino == found.st_ino
        assert not os.get_inheritable(descriptor)
        return file.read()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a", "a"),
        ("sub/b", "b"),
        ("file", "a"),
        ("down", "b"),
        ("folder/b", "b"),
        ("again", "b"),
        ("sub/up", "a"),
        ("folder/up", "a"),
        ("sub/deep/up", "a"),
        ("sub/over", "b"),
        ("here", "b"),
        ("root/sub/b", "b"),
        ("root/root/a", "a"),
    ],
)
def test_files_below_are_opened(root: Path, path: str, content: str) -> None:
    """So are those that a link leads to, wherever in the folder it is."""
    assert read(root, path) == content


@pytest.mark.parametrize(
    ("path", "why"),
    [
        *((path, OUT) for path in ("out", "sub/out", "folder/out", "away", "near", "above/secret")),
        *((path, OUT) for path in ("parent/secret", "passwd", "back", "root/out")),
        *((path, "it is a folder") for path in ("sub", "folder", "root", "sub/deep")),
        *((path, "it is a pipe, not a file") for path in ("fifo", "pipe")),
    ],
)
def test_all_else_is_refused(root: Path, path: str, why: str) -> None:
    """What is refused is not opened, so a pipe without a writer blocks nothing."""
    with pytest.raises(Refused, match=f"^{why}$"):
        read(root, path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((path, FileNotFoundError) for path in ("nix", "broken", "nix/a", "sub/nix")),
        *((path, NotADirectoryError) for path in ("a/b", "file/b", "fifo/b")),
        *((path, OSError) for path in ("loop", "ping", "loop/a", "x" * 300)),
    ],
)
def test_what_is_not_there_is_the_systems_error(
    root: Path, path: str, kind: type[Exception]
) -> None:
    """It says why."""
    with pytest.raises(kind):
        read(root, path)


def test_sockets_and_devices_are_refused(root: Path, monkeypatch: Any) -> None:
    """They are not opened either."""
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("sock")
        with pytest.raises(Refused, match="it is a socket, not a file"):
            read(root, "sock")
    for device in ("null", "zero"):
        with pytest.raises(Refused, match="it is a device, not a file"):
            read("/dev", device)


def test_the_folder_may_be_a_link_and_relative(root: Path, monkeypatch: Any) -> None:
    """Where it is, is up to the user; absolute links may name it by either path."""
    monkeypatch.chdir(root.parent)
    (root.parent / "alias").symlink_to("root")
    (root / "by_alias").symlink_to(root.parent / "alias" / "a")
    assert read("alias", "sub/b") == read("alias", "here") == "b"
    assert read("alias", "by_alias") == "a"
    assert read("./root/", "root/a") == "a"
    assert read("/", str(root / "a")[1:]) == "a"


SWAPS = {
    "link": (lambda path: path.symlink_to("/etc/passwd"), OSError),
    "folder": (lambda path: path.mkdir(), Refused),
    "pipe": (os.mkfifo, Refused),
    "nothing": (lambda path: None, FileNotFoundError),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_what_takes_the_place_of_a_file_is_not_read(
    root: Path, monkeypatch: Any, swap: str
) -> None:
    """It is exchanged after it was looked at and before it is opened, and nothing blocks."""
    put, error = SWAPS[swap]
    _before_opening(monkeypatch, "b", root / "sub" / "b", put)
    with pytest.raises(error):
        read(root, "sub/b")


def test_a_folder_that_becomes_a_link_is_not_followed(root: Path, monkeypatch: Any) -> None:
    """It is opened as what it was seen to be."""
    (root.parent / "b").write_text("secret")
    moved = root / "sub"

    def put(path: Path) -> None:
        path.symlink_to(root.parent)

    _before_opening(monkeypatch, "sub", moved, put)
    with pytest.raises(NotADirectoryError):
        read(root, "sub/b")


def test_a_folder_that_is_moved_out_leads_nowhere_else(root: Path, monkeypatch: Any) -> None:
    """A link in it goes back by the way that was taken, and not to where it is now."""
    (root.parent / "a").write_text("secret")
    opened = os.readlink

    def readlink(name: str, **where: Any) -> str:
        if name == "up" and (root / "sub").exists():
            (root / "sub").rename(root.parent / "moved")
        return opened(name, **where)

    monkeypatch.setattr(os, "readlink", readlink)
    assert read(root, "sub/up") == "a"


def _before_opening(monkeypatch: Any, name: str, path: Path, put: Any) -> None:
    """Put something else in the place of a file or folder just before it is opened."""
    really_open = os.open

    def swap_and_open(opened: Any, flags: int, *args: Any, **more: Any) -> int:
        if opened == name and more.get("dir_fd") is not None:
            path.rename(path.parent / "was")
            put(path)
        return really_open(opened, flags, *args, **more)

    monkeypatch.setattr(os, "open", swap_and_open)


def test_no_descriptor_is_left(root: Path) -> None:
    """Not even where a file is refused, deep in the folder."""
    before = set(os.listdir("/dev/fd"))
    for path in ("a", "sub/deep/up", "root/sub/b", "sub/out", "folder/nix", "loop", "sub/b/c"):
        try:
            descriptor, found = open_beneath(str(root), path.split("/"))
        except (Refused, OSError):
            continue
        assert stat.S_ISREG(found.st_mode)
        os.close(descriptor)
    assert set(os.listdir("/dev/fd")) == before
