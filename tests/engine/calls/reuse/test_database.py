"""The file of a cache."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tmux_fanout.engine.calls.reuse.database import NAME, VERSION, Database
from tmux_fanout.engine.calls.reuse.stored import CacheError, Stored

SIZE = 1 << 20


def test_answers_are_found_by_other_processes(tmp_path: Path) -> None:
    """What one has stored is there for all, with the same salt."""
    one, other = Database(str(tmp_path), SIZE), Database(str(tmp_path), SIZE)
    assert one.salt == other.salt
    assert one.exchange(5.0, {b"k": b"answer"}, [], [b"k", b"no"]) == {
        b"k": Stored(5.0, b"answer"),
        b"no": None,
    }
    assert other.exchange(6.0, {b"k": b"new"}, [], []) == {}
    assert one.exchange(7.0, {}, [b"k"], [b"k"]) == {b"k": Stored(6.0, b"new")}
    one.close()
    other.close()


def test_file_and_folder_are_for_their_owner(tmp_path: Path) -> None:
    """Answers may be secret, so nobody else can read them, whatever the umask."""
    folder = tmp_path / "a" / "b"
    umask = os.umask(0)
    try:
        database = Database(str(folder), SIZE)
        database.exchange(0.0, {b"k": b"v"}, [], [])
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) > 1  # the log as well
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    database.close()


def test_least_recently_used_answers_make_room(tmp_path: Path) -> None:
    """The size of all answers stays below the maximum."""
    database = Database(str(tmp_path), 10_000)
    for number in range(50):
        key = b"%d" % number
        database.exchange(float(number), {key: bytes(1000)}, [b"0"] if number else [], [])
        found = database.exchange(0.0, {}, [], [b"%d" % n for n in range(50)])
        assert sum(each is not None for each in found.values()) <= 11
    assert found[b"0"] is not None
    assert found[b"49"] is not None
    assert found[b"1"] is None
    database.close()


def test_little_is_read_at_once(tmp_path: Path) -> None:
    """Large answers are returned in part, so that they take little memory."""
    database = Database(str(tmp_path), 1 << 30)
    keys = [b"%d" % number for number in range(8)]
    database.exchange(0.0, dict.fromkeys(keys, bytes(2 << 20)), [], [])
    assert list(database.exchange(0.0, {}, [], keys)) == keys[:3]
    database.close()


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """One of them makes the tables."""
    salts: list[bytes] = []

    def use(number: int) -> None:
        database = Database(str(tmp_path), SIZE)
        salts.append(database.salt)
        for turn in range(10):
            database.exchange(0.0, {b"%d %d" % (number, turn): b"v"}, [], [b"k"])
        database.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(salts) == 6
    assert len(set(salts)) == 1
    database = Database(str(tmp_path), SIZE)
    keys = [b"%d %d" % (number, turn) for number in range(6) for turn in range(10)]
    assert None not in database.exchange(0.0, {}, [], keys).values()
    database.close()


def damaged(folder: Path) -> None:
    (folder / NAME).write_bytes(b"no database" * 1000)


def torn(folder: Path) -> None:
    Database(str(folder), SIZE).close()
    content = bytearray((folder / NAME).read_bytes())
    content[100:] = bytes(255 for _ in content[100:])
    (folder / NAME).write_bytes(content)


def run(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / NAME) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def foreign(folder: Path) -> None:
    run(folder, "CREATE TABLE answers (other)")


def foreign_of_other_tables(folder: Path) -> None:
    run(folder, "CREATE TABLE games (score)", f"PRAGMA user_version = {VERSION}")


def foreign_with_same_columns(folder: Path) -> None:
    run(folder, "CREATE TABLE meta (salt)", "CREATE TABLE answers (key, at, used, size, answer)")


def foreign_and_empty(folder: Path) -> None:
    run(folder, "PRAGMA application_id = 7")


def newer(folder: Path) -> None:
    Database(str(folder), SIZE).close()
    run(folder, f"PRAGMA user_version = {VERSION + 1}")


def foreign_with_version(folder: Path) -> None:
    run(folder, "CREATE TABLE answers (other)", f"PRAGMA user_version = {VERSION + 1}")


def is_folder(folder: Path) -> None:
    (folder / NAME).mkdir()


FOREIGN = "is a database of another program: use another dir"
FOREIGNERS = [
    foreign,
    foreign_of_other_tables,
    foreign_with_same_columns,
    foreign_and_empty,
    foreign_with_version,
]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damaged, "(file is not a database): use another dir, or delete the file"),
        (torn, "is damaged (database disk image is malformed): delete it"),
        (newer, "was written by a later version of tmux-fanout: use that one, or another dir"),
        *((each, FOREIGN) for each in FOREIGNERS),
        (is_folder, "Is a directory"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_file_that_cannot_be_used_is_named(tmp_path: Path, spoil: object, said: str) -> None:
    """With what to do about it."""
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(CacheError) as caught:
        Database(str(tmp_path), SIZE)
    assert said in str(caught.value)
    assert NAME in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("make", [damaged, *FOREIGNERS])
def test_file_of_another_program_stays_as_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Byte for byte, with no log beside it."""
    make(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(CacheError):
        Database(str(tmp_path), SIZE)
    assert (tmp_path / NAME).read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """As the system has it, but for the path, which the notice has as it was written."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"^Not a directory$"):
        Database(str(tmp_path / "file" / "below"), SIZE)
    with pytest.raises(CacheError, match="null"):
        Database("a\0b", SIZE)


def test_failure_of_a_write_is_reported(tmp_path: Path) -> None:
    """As one of the cache, which can still be closed; a full disk fails like this."""
    database = Database(str(tmp_path), SIZE)
    database._db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(CacheError, match="disk is full"):
        database.exchange(0.0, {b"k": bytes(100_000)}, [], [])
    assert database.exchange(0.0, {}, [], [b"k"]) == {b"k": None}
    database.close()
    with pytest.raises(CacheError):
        database.exchange(0.0, {}, [], [b"k"])
