"""The file of a cache: an SQLite database that several processes may use at the same time.

    answers   key, at (when it was stored), used (when it was last), size, answer
    meta      salt (of all keys)

A file that another program made, or that is no database, is left as it is.

SQLite's write-ahead log lets readers go on while one process writes; a writer waits for another,
for some seconds at most.  Once all answers together are too large, the least recently used are
deleted, and some more, so that there is room for a while.  All methods block: call them in threads.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tmux_fanout.engine.calls.reuse.stored import CacheError, Stored

VERSION = 1  # of the tables
NAME = "answers.sqlite3"
APPLICATION = int.from_bytes(b"tmxf", "big")  # tells the file from those of other programs

_PATIENCE = 5.0  # seconds for which another process may write
_PAUSE = 0.05
_SALT_SIZE = 16
_FILLED_TO = 0.9  # of the maximum size, after answers were deleted
_READ_AT_ONCE = 4 << 20  # bytes
_LOOK_AFTER = 1 / 32  # of the maximum size, that may be stored before the size is looked at again

_TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (salt BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, at REAL NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL,
    answer BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON answers (used, size);
PRAGMA user_version = {VERSION};
PRAGMA application_id = {APPLICATION};
"""
_HEAD = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version
"""
_READ = "SELECT at, answer FROM answers WHERE key = ?"
_EVICT = """
DELETE FROM answers WHERE rowid IN (
    SELECT id FROM (
        SELECT rowid AS id, size, sum(size) OVER (ORDER BY used, rowid) AS total FROM answers
    ) WHERE total - size < ?
)
"""


class Database:
    """An open cache.

    Args:
        folder: of the file; made if it is not there.
        max_size: maximum bytes of all answers.

    Attributes:
        salt: of its keys.

    Raises:
        CacheError: it cannot be opened.
    """

    def __init__(self, folder: str, max_size: int) -> None:
        self._max_size = max_size
        self._unseen = max_size  # bytes stored since the size was looked at; look at once
        try:
            self._path = Path(folder).expanduser() / NAME
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(
                self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
        except (OSError, RuntimeError, sqlite3.Error, ValueError) as exc:
            raise CacheError(_why(exc)) from exc
        try:
            self.salt = self._prepare()
        except sqlite3.Error as exc:
            self._db.close()
            raise CacheError(self._explain(exc)) from exc
        except CacheError:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"<Database: {self._path}>"

    def _prepare(self) -> bytes:
        db = self._db
        [(application, version, entries)] = db.execute(_HEAD)
        if application != APPLICATION and (application or version or entries):
            raise CacheError(f"{NAME} is a database of another program: use another dir")
        if version > VERSION:
            raise CacheError(
                f"{NAME} was written by a later version of tmux-fanout: use that one, or "
                "another dir"
            )
        self._use_log()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")  # of processes that start together, one makes the tables
        try:
            for statement in filter(str.strip, _TABLES.split(";")):
                db.execute(statement)
            found = db.execute("SELECT salt FROM meta").fetchone()
            if found is None:
                found = (os.urandom(_SALT_SIZE),)
                db.execute("INSERT INTO meta VALUES (?)", found)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return bytes(found[0])

    def _use_log(self) -> None:
        """Switch to write-ahead logging, for which SQLite does not wait for others by itself."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as exc:
                if "locked" not in str(exc) or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    def exchange(
        self,
        now: float,
        stored: Mapping[bytes, bytes],
        used: Sequence[bytes],
        keys: Sequence[bytes],
    ) -> dict[bytes, Stored | None]:
        """Store answers, and return others.

        Args:
            now: seconds since 1970.
            stored: answers to store, by their keys.
            used: keys of answers that were used.
            keys: of answers to return; of very large ones not all are, so that memory is bounded.

        Returns:
            What was found for each key, or None; at least for the first of them.

        Raises:
            CacheError: the file cannot be read or written.
        """
        try:
            if stored or used:
                self._write(now, stored, used)
            return self._read(keys)
        except sqlite3.Error as exc:
            raise CacheError(self._explain(exc)) from exc

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Stored | None]:
        found: dict[bytes, Stored | None] = {}
        size = 0
        for key in keys:
            row = self._db.execute(_READ, (key,)).fetchone()
            found[key] = None if row is None else Stored(*row)
            size += len(row[1]) if row else 0
            if size > _READ_AT_ONCE:
                break
        return found

    def _write(self, now: float, stored: Mapping[bytes, bytes], used: Sequence[bytes]) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            rows = [(key, now, now, len(answer), answer) for key, answer in stored.items()]
            db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
            db.executemany("UPDATE answers SET used = ? WHERE key = ?", [(now, k) for k in used])
            self._unseen += sum(map(len, stored.values()))
            if self._unseen > self._max_size * _LOOK_AFTER:
                self._unseen = 0
                self._make_room()
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _make_room(self) -> None:
        """Delete the answers that were not used for longest, if all of them are too large."""
        [(total,)] = self._db.execute("SELECT total(size) FROM answers")
        if total > self._max_size:
            self._db.execute(_EVICT, (total - self._max_size * _FILLED_TO,))

    def close(self) -> None:
        """Close the file; what was stored is there for other processes already."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _explain(self, exc: sqlite3.Error) -> str:
        """Return why the file cannot be used; messages say which folder it is in."""
        why = str(exc)
        if "not a database" in why:
            return f"{NAME} is no cache, or damaged ({why}): use another dir, or delete the file"
        if "malformed" in why or "no such" in why:
            return f"{NAME} is damaged ({why}): delete it"
        return f"{NAME}: {why}"


def _why(exc: BaseException) -> str:
    """Return why the file cannot be opened, without the folder, where variables are filled in."""
    if not isinstance(exc, OSError):
        return str(exc)
    why = exc.strerror or type(exc).__name__
    is_file = exc.filename is not None and Path(os.fsdecode(exc.filename)).name == NAME
    return f"{NAME}: {why}" if is_file else why
