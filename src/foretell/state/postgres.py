"""A PostgreSQL that several hosts share, through SQLAlchemy and psycopg 3."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from foretell.errors import StateError
from foretell.state import schema
from foretell.state.translation import postgres_fault

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from foretell.state.database import Statement

CONNECT_S = 5
STATEMENT_S = 10
_LOCK = 0x666F7265  # any number, but always the same
_UNDEFINED_TABLE = "42P01"


class PostgresDatabase:
    """The database of a URL. A lost connection is made anew; a server that is away is waited for some seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: Engine | None = None
        self.where = "PostgreSQL at " + re.sub(r"^[a-z]+://(?:[^@/]*@)?", "", url).partition("?")[0][:200]

    def open(self) -> None:
        if self._version() == schema.HEAD:
            return
        with self.write() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            schema.upgrade(connection, self.where)

    def read(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        from sqlalchemy import text

        with self._translated(), self._engine().connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def run(self, sql: str, rows: Sequence[Mapping[str, Any]], once: Statement | None = None) -> None:
        from sqlalchemy import text

        with self.write() as connection:
            if once is not None and not connection.execute(text(once[0]), dict(once[1])).rowcount:
                return
            connection.execute(text(sql), [dict(row) for row in rows])

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        with self._translated(), self._engine().begin() as connection:
            yield connection

    def close(self) -> None:
        if self._made is not None:
            self._made.dispose()
        self._made = None

    def _version(self) -> str | None:
        found = self.read("SELECT to_regclass('alembic_version')")
        if found[0][0] is None:
            return None
        versions = self.read("SELECT version_num FROM alembic_version")
        return str(versions[0][0]) if versions else None

    def _engine(self) -> Engine:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Engine:
        from sqlalchemy import create_engine, event

        url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self._url)
        try:
            engine = create_engine(
                url,
                pool_size=2,
                max_overflow=8,
                pool_pre_ping=True,
                connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": STATEMENT_S * 1000},
            )
        except ImportError as error:
            raise StateError(
                "PostgreSQL needs psycopg, which is not installed.", hint="pip install 'foretell[postgres]'"
            ) from error
        except Exception as error:  # what SQLAlchemy raises here may hold the URL, and with it the password
            raise StateError(
                f"FORETELL_STATE__URL cannot be read ({type(error).__name__}).",
                hint="write postgresql://user:password@host:5432/database",
            ) from None

        @event.listens_for(engine, "connect")
        def bounded(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = '{STATEMENT_S}s'; SET lock_timeout = '{STATEMENT_S}s'")
            connection.commit()

        return engine

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StateError:
            raise
        except Exception as error:
            cause = getattr(error, "orig", None)
            if cause is None:
                raise
            raise postgres_fault(cause, self.where) from error
