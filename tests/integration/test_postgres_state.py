"""A PostgreSQL behind the state that goes away, comes back, is refused, or is not what it should be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foretell.core.access.credentials import Credential
from foretell.core.access.grant import Grant
from foretell.errors import StateAway, StateError, StateFull
from foretell.security.audit import Author
from foretell.security.keys.following import Following
from foretell.security.keys.opening import open_keys
from foretell.state.database import open_database
from foretell.state.postgres import PostgresDatabase
from foretell.state.translation import postgres_fault
from tests.postgres_server import PostgresServer, postgres_server

ME = Author("cli:me")
GRANT = Grant("partner-x", "t", frozenset({"predict"}))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def test_an_outage_leaves_keys_known_and_ends_by_itself(server: PostgresServer, tmp_path: Path) -> None:
    with open_keys(tmp_path, server.database()) as store, capture_logs() as logs:
        _, key = store.create(GRANT, ME)
        following = Following(store, poll_s=3600)
        following.look()
        known = Credential("key", key.encode())
        server.stop()
        try:
            asyncio.run(following.refresh())
            assert following.keyring.known(known) is not None
            with pytest.raises(StateAway, match="does not answer") as away:
                store.revoke("partner-x", ME)
            assert "a-password" not in str(away.value)
        finally:
            server.start()
        store.revoke("partner-x", ME)
        asyncio.run(following.refresh())
        assert following.keyring.known(known) is None
    assert [line["event"] for line in logs] == ["keys_not_read", "keys_read_again"]
    assert "a-password" not in str(logs)


def test_hosts_with_another_pepper_are_refused_and_with_the_same_one_agree(
    server: PostgresServer, tmp_path: Path
) -> None:
    url = server.database()
    with open_keys(tmp_path / "one", url) as store:
        store.create(GRANT, ME)
    with pytest.raises(StateError, match=r"is not in .*two/pepper"), open_keys(tmp_path / "two", url):
        pass
    (tmp_path / "two" / "pepper").write_text((tmp_path / "one" / "pepper").read_text())
    with open_keys(tmp_path / "two", url) as other:
        assert [key.name for key in other.all()] == ["partner-x"]


def test_a_newer_schema_and_another_programs_tables_are_left_as_they_are(server: PostgresServer) -> None:
    url = server.database()
    open_database(Path(), url).close()
    name = url.rpartition("/")[2]
    with server.connect(name) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(StateError, match="newer Foretell"):
        open_database(Path(), url)
    with server.connect(name) as connection:
        connection.execute("DROP TABLE alembic_version")
    with pytest.raises(StateError, match="tables that Foretell did not make"):
        open_database(Path(), url)
    with server.connect(name) as connection:
        assert connection.execute("SELECT revision FROM meta").fetchall() == [(0,)]


def test_a_table_that_is_missing_is_no_empty_answer(server: PostgresServer) -> None:
    database = open_database(Path(), server.database())
    with pytest.raises(StateError, match="does not hold what this Foretell expects"):
        database.read("SELECT 1 FROM nothing")
    with pytest.raises(ZeroDivisionError), database.write():
        _ = 1 / 0
    database.close()


@pytest.mark.parametrize(
    "url", ["postgresql://me:a-password@127.0.0.1:1/x", "postgresql://me:a-password@127.0.0.1:x/y"]
)
def test_an_address_where_nothing_is_says_so_without_the_password(url: str) -> None:
    with pytest.raises(StateError, match=r"does not answer|cannot be read") as refused:
        open_database(Path(), url)
    assert "a-password" not in str(refused.value) + str(refused.value.hint)


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateError, match="needs psycopg") as refused:
        PostgresDatabase("postgresql://host/x").open()
    assert refused.value.hint == "pip install 'foretell[postgres]'"


@pytest.mark.parametrize(
    ("sqlstate", "kind", "words"),
    [
        ("53100", StateFull, "disk of PostgreSQL at h/x is full"),
        ("28P01", StateError, "does not let us in"),
        ("42P01", StateError, "does not hold"),
        ("57P01", StateAway, "does not answer"),
        (None, StateAway, "does not answer"),
    ],
)
def test_what_it_complains_of_is_said_in_words(sqlstate: str | None, kind: type[StateError], words: str) -> None:
    class Complaint(Exception):
        pass

    complaint = Complaint("first line\nsecond line")
    complaint.sqlstate = sqlstate  # type: ignore[attr-defined]
    fault = postgres_fault(complaint, "PostgreSQL at h/x")
    assert type(fault) is kind and words in fault.detail and "second" not in fault.detail
