"""The database: SQLite in the state folder, or a PostgreSQL that hosts share.

Servers read on every poll and write seldom. So reading is portable SQL text, which for SQLite goes straight to the
standard library's driver, and SQLAlchemy is imported only when something is written: a start stays quick (ADR 25).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from foretell.errors import StateError
from foretell.state import schema
from foretell.state.folder import alone, keep_private, prepare
from foretell.state.translation import DAMAGED_HINT, disk_fault, sqlite_fault

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

FILE = "foretell.db"
BUSY_S = 10.0
Row = tuple[Any, ...]
Statement = tuple[str, Mapping[str, Any]]
"""Portable text, and the values of its parameters."""


class Database(Protocol):
    """What is remembered. May be used from any thread; every fault is a StateError."""

    def open(self) -> None:
        """Makes or upgrades the tables where needed; several processes may do so at once."""
        ...

    def read(self, sql: str, **values: Any) -> list[Row]:
        """The rows of one SELECT, whose parameters stand in it as ``:name``."""
        ...

    def run(self, sql: str, rows: Sequence[Mapping[str, Any]], once: Statement | None = None) -> None:
        """Runs one statement with the values of each of the rows, in one transaction. Loads no SQLAlchemy of its own.

        Portable text as in ``read``, for what is written so often that a server would always have it in memory. Where
        ``once``, which is run first, changes nothing, nothing is changed at all.
        """
        ...

    def write(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction of SQLAlchemy's: kept at the end of the block, undone where the block raises."""
        ...

    def close(self) -> None:
        """Gives back files and connections."""
        ...


class SqliteDatabase:
    """The file in the state folder, of one host. Readers never wait (WAL); what was committed is on the disk."""

    def __init__(self, folder: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = folder / FILE
        self._folder = folder
        self._busy_s = busy_s
        self._lock = threading.Lock()
        self._reading: sqlite3.Connection | None = None
        self._writing: Engine | None = None

    def open(self) -> None:
        prepare(self._folder)
        keep_private(self.path)
        if self._version() != schema.HEAD:
            with alone(self._folder):
                version = self._version()
                if version is None:
                    self._create()
                elif version != schema.HEAD:
                    self._upgrade(version)
        if self.read("PRAGMA journal_mode") != [("wal",)]:  # as in a copy that was put back
            with self._translated(), contextlib.closing(self._connect(self.path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")

    def read(self, sql: str, **values: Any) -> list[Row]:
        with self._lock, self._translated():
            if self._reading is None:
                self._reading = self._connect(self.path)
                self._reading.execute("PRAGMA query_only = 1")
            return self._reading.execute(sql, values).fetchall()

    def run(self, sql: str, rows: Sequence[Mapping[str, Any]], once: Statement | None = None) -> None:
        with self._translated(), contextlib.closing(self._connect(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if once is not None and not connection.execute(*once).rowcount:
                return
            connection.executemany(sql, rows)
            connection.execute("COMMIT")  # where that is not reached, closing undoes it

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        with self._translated(), self._engine().begin() as connection:
            yield connection

    def close(self) -> None:
        with self._lock:
            if self._reading is not None:
                self._reading.close()
            self._reading = None

    def _version(self) -> str | None:
        """The step the file is at; None where there is no file. Raises StateError where it is no database of ours."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_fault(error, self.path) from error
        if size == 0:
            raise StateError(f"{self.path} is empty. It was left as it is.", hint=DAMAGED_HINT)
        found = self.read("SELECT version_num FROM alembic_version")
        if len(found) != 1:
            raise StateError(f"{self.path} does not say which version wrote it.", hint=DAMAGED_HINT)
        return str(found[0][0])

    def _create(self) -> None:
        """Makes the file beside its place and moves it there whole, so that nobody ever sees half of it."""
        draft = self.path.with_name(f".{FILE}.draft")
        for leftover in (draft, draft.with_name(f"{draft.name}-journal")):
            leftover.unlink(missing_ok=True)
        try:
            draft.touch(mode=0o600, exist_ok=False)
            with self._translated(), contextlib.closing(self._connect(draft)) as connection:
                connection.executescript(schema.SCRIPT.read_text(encoding="utf-8"))
                connection.execute("PRAGMA journal_mode = WAL")
            draft.rename(self.path)
        except OSError as error:
            raise disk_fault(error, self.path) from error

    def _upgrade(self, version: str) -> None:
        """Runs the steps that are missing. What they are about to change is kept whole, as ``foretell.db.VERSION``."""
        schema.check(version, str(self.path))
        copy = self.path.with_name(f"{FILE}.{version}")
        try:
            copy.unlink(missing_ok=True)
            copy.touch(mode=0o600)
        except OSError as error:
            raise disk_fault(error, copy) from error
        with self._translated(), contextlib.closing(self._connect(self.path)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        with self.write() as transaction:
            schema.upgrade(transaction, str(self.path))

    def _engine(self) -> Engine:
        if self._writing is None:
            self._writing = self._make_engine()
        return self._writing

    def _make_engine(self) -> Engine:
        from sqlalchemy import NullPool, create_engine, event

        engine = create_engine("sqlite://", creator=lambda: self._connect(self.path), poolclass=NullPool)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # what is read in a transaction that writes must still hold when it writes
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def _connect(self, path: Path) -> sqlite3.Connection:
        # never made by being opened: a file that is gone is an error, not a new beginning
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = 1")
            # a revocation that was confirmed must survive a power cut; there are few writes
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise sqlite_fault(error, self.path) from error
        except Exception as error:
            cause = getattr(error, "orig", None)  # SQLAlchemy's, around the driver's
            if not isinstance(cause, sqlite3.Error):
                raise
            raise sqlite_fault(cause, self.path) from error


def open_database(folder: Path, url: str | None) -> Database:
    """The database of a state folder, or that of ``url``, open. Raises StateError."""
    if url is None:
        database: Database = SqliteDatabase(folder)
    else:
        from foretell.state.postgres import PostgresDatabase

        database = PostgresDatabase(url)
    try:
        database.open()
    except BaseException:
        database.close()
        raise
    return database
