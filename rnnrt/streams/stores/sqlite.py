"""SQLiteStore: one file, no server; the default for a service on one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence

from ...errors import FormatError, StateError
from .base import Claim, Entry, Held, Store

__all__ = ["SQLiteStore"]

APPLICATION_ID = 0x726E6E72  # "rnnr"
LAYOUT = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('fence', 0);
CREATE TABLE owners (owner TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (
    id TEXT PRIMARY KEY, fence INTEGER NOT NULL, owner TEXT NOT NULL, used REAL NOT NULL,
    step INTEGER NOT NULL DEFAULT 0, model TEXT NOT NULL DEFAULT '', data BLOB
);
CREATE INDEX streams_used ON streams (used);
"""


class SQLiteStore(Store):
    """Streams kept in one SQLite file (WAL), shared by the processes of one machine.

    Parameters
    ----------
    path : the file; made where it is not there, in a folder that is.
    sync : ``full``: what is said to be saved survives a power cut; ``normal``: it survives the end of the
        process, and a power cut may take the last moments (faster where a disk is slow to sync).
    lease, ttl, interval : see :class:`Store`. Times are those of the machine's clock.

    Raises
    ------
    FormatError
        The file is another program's, or of a later rnnrt.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sync: str = "full",
        lease: float = 10.0,
        ttl: float | None = None,
        interval: float = 0.1,
    ) -> None:
        super().__init__(lease=lease, ttl=ttl, interval=interval)
        if sync not in ("full", "normal"):
            raise StateError(f"sync: expected 'full' or 'normal', got {sync!r}")
        self.path = os.fspath(path)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._db = self._connect()
        self._light = self._connect()  # for what a power cut may undo, since it ends all owners too: leases
        try:
            self._prepare(sync)
        except BaseException as e:
            self._light.close()
            self._db.close()
            if isinstance(e, sqlite3.DatabaseError) and not isinstance(e, sqlite3.OperationalError):
                raise FormatError(f"{self.path}: not an SQLite file: {e}") from e
            raise

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)

    def _prepare(self, sync: str) -> None:
        db = self._db
        # looked at before anything is written: another program's file stays as it is
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._check_layout()
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {sync}")
        self._light.execute("PRAGMA synchronous = normal")
        with self._transaction():
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {LAYOUT}")
            self._check_layout()

    def _check_layout(self) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise FormatError(f"{self.path}: an SQLite file of another program; give a path of its own")
        layout = self._db.execute("PRAGMA user_version").fetchone()[0]
        if layout != LAYOUT:
            raise FormatError(f"{self.path}: layout {layout}, this version of rnnrt knows {LAYOUT}")

    def _transaction(self, db: sqlite3.Connection | None = None) -> _Transaction:
        if os.getpid() != self._pid:
            raise StateError(f"{self}: opened by process {self._pid} before a fork; open it anew in this process")
        return _Transaction(db or self._db, self._lock)

    def claim(self, ids: Sequence[str], owner: str, lease: float) -> list[Claim | Held]:
        with self._transaction(self._light) as db:
            now = time.time()
            db.execute("INSERT OR REPLACE INTO owners VALUES (?, ?)", (owner, now + lease))
            return [self._claim(db, id, owner, now) for id in ids]

    @staticmethod
    def _claim(db: sqlite3.Connection, id: str, owner: str, now: float) -> Claim | Held:
        row = db.execute(
            "SELECT s.owner, o.until FROM streams s LEFT JOIN owners o USING (owner) WHERE s.id = ?", (id,)
        ).fetchone()
        if row is not None and row[0] != owner and row[1] is not None and row[1] > now:
            return Held(row[0], row[1] - now)
        db.execute("UPDATE facts SET value = value + 1 WHERE name = 'fence'")
        (fence,) = db.execute("SELECT value FROM facts WHERE name = 'fence'").fetchone()
        db.execute(
            "INSERT INTO streams (id, fence, owner, used) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET fence = excluded.fence, owner = excluded.owner, used = excluded.used",
            (id, fence, owner, now),
        )
        step, model, data = db.execute("SELECT step, model, data FROM streams WHERE id = ?", (id,)).fetchone()
        return Claim(fence, step, model, data)

    def save(self, entries: Sequence[Entry]) -> list[str | None]:
        answers: list[str | None] = []
        with self._transaction() as db:
            now = time.time()
            for e in entries:
                done = db.execute(
                    "UPDATE streams SET step = ?, model = ?, data = ?, used = ? WHERE id = ? AND fence = ?",
                    (e.step, e.model, e.data, now, e.id, e.fence),
                )
                if done.rowcount == 1:
                    answers.append(None)
                    continue
                row = db.execute("SELECT owner FROM streams WHERE id = ?", (e.id,)).fetchone()
                answers.append("" if row is None else row[0])
        return answers

    def beat(self, owner: str, lease: float) -> None:
        with self._transaction(self._light) as db:
            db.execute("INSERT OR REPLACE INTO owners VALUES (?, ?)", (owner, time.time() + lease))

    def retire(self, owner: str) -> None:
        with self._transaction(self._light) as db:
            db.execute("DELETE FROM owners WHERE owner = ?", (owner,))

    def release(self, claims: Sequence[tuple[str, int]]) -> None:
        with self._transaction(self._light) as db:
            now = time.time()
            for id, fence in claims:
                db.execute(
                    "UPDATE streams SET owner = '', used = ? WHERE id = ? AND fence = ? AND data IS NOT NULL",
                    (now, id, fence),
                )
                db.execute("DELETE FROM streams WHERE id = ? AND fence = ? AND data IS NULL", (id, fence))

    def remove(self, id: str) -> bool:
        with self._transaction() as db:
            return db.execute("DELETE FROM streams WHERE id = ?", (id,)).rowcount == 1

    def sweep(self, ttl: float) -> int:
        with self._transaction() as db:
            now = time.time()
            db.execute("DELETE FROM owners WHERE until <= ?", (now,))
            return db.execute(
                "DELETE FROM streams WHERE used < ? AND owner NOT IN (SELECT owner FROM owners)", (now - ttl,)
            ).rowcount

    def shut(self) -> None:
        if os.getpid() != self._pid:
            # closing a connection that was carried over a fork could harm the file
            _LEFT_BY_PARENT.extend((self._db, self._light))
            return
        with self._lock:
            self._light.close()
            self._db.close()

    def __repr__(self) -> str:
        return f"<rnnrt.stores.SQLiteStore {self.path!r}>"


_LEFT_BY_PARENT: list[sqlite3.Connection] = []


class _Transaction:
    """One transaction that takes the write lock when it begins; all or nothing."""

    def __init__(self, db: sqlite3.Connection, lock: threading.Lock) -> None:
        self._db, self._lock = db, lock

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._lock.release()
