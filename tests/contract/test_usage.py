"""What the usage ledger promises, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from foretell.core.access.principal import Principal
from foretell.errors import StateAway
from foretell.security.usage import recorder as module
from foretell.security.usage.ledger import Batch, Entry, Ledger, Line
from foretell.security.usage.recorder import Recorder, recording
from foretell.security.usage.table import csv_lines
from foretell.state.database import Database, open_database
from foretell.telemetry.observer import Outcome
from foretell.telemetry.observers import Observers
from tests.postgres_server import PostgresServer, postgres_server
from tests.usage import batch

DAY = 20_777  # 2026-11-20
ALL = ("0000-01-01", "9999-12-31")
CALLER = Principal("key:x", "key", "t", frozenset({"predict"}))


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    opened = open_database(tmp_path / "state", url)
    yield opened
    opened.close()


def line(principal: str = "key:x", day: int = DAY, model: str = "iris") -> Line:
    return Line(day, principal, "t", model)


def outcome(status: int = 200, principal: Principal | None = CALLER, rows: int = 1, model: str | None = "m") -> Outcome:
    return Outcome("r", "POST", "/predict", status, principal=principal, rows=rows, model=model)


class Lost:
    """A ledger whose database is away."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.away = True

    def add(self, batch: Batch) -> None:
        if self.away:
            raise StateAway("it does not answer")
        self.ledger.add(batch)


class Watched:
    """A ledger that says when something was added."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.added = threading.Event()

    def add(self, batch: Batch) -> None:
        self.ledger.add(batch)
        self.added.set()


def test_what_many_workers_add_at_once_is_all_there(database: Database) -> None:
    ledger = Ledger(database)

    def add() -> None:
        for _ in range(10):
            ledger.add(batch({line(f"key:{number}"): [2, 3] for number in range(5)}))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.amounts for entry in ledger.entries(*ALL)] == [{"requests": 80, "rows": 120}] * 5


def test_entries_are_found_by_day_key_and_model(database: Database) -> None:
    ledger = Ledger(database)
    ledger.add(batch({line(): [1, 1], line(model="churn"): [2, 0], line("key:y"): [3, 3], line(day=DAY - 1): [4, 4]}))
    ledger.add(batch({}))

    def found(since: str = "2026-01-01", until: str = "2026-12-31", **of: str) -> list[int]:
        return [entry.amounts["requests"] for entry in ledger.entries(since, until, **of)]

    assert found() == [4, 2, 1, 3]
    assert found("2026-11-20") == [2, 1, 3]
    assert found(until="2026-11-19") == [4]
    assert found(key="x") == found(key="key:x") == [4, 2, 1]
    assert found(key="x", model="iris") == [4, 1]
    assert next(ledger.entries(*ALL)) == Entry("2026-11-19", "key:x", "t", "iris", {"requests": 4, "rows": 4})


def test_what_was_answered_with_success_is_counted_by_lane_and_ordinary_way_alike(database: Database) -> None:
    async def story() -> None:
        async with recording(Ledger(database), 60) as recorder:
            observer = Observers(recorder)
            observer.request(outcome(rows=7))
            observer.request(outcome(201, rows=0, model=None))
            observer.answered(outcome(rows=1), [("a", 1.0), ("b", 1.0), ("c", 1.0)])
            for refused in (outcome(429), outcome(499), outcome(500), outcome(304), outcome(principal=None)):
                observer.request(refused)
                observer.answered(refused, [("a", 1.0)])

    asyncio.run(story())
    found = {entry.model: entry.amounts for entry in Ledger(database).entries(*ALL)}
    assert found == {"m": {"requests": 4, "rows": 10}, "": {"requests": 1}}


def test_it_is_written_while_the_server_runs(database: Database) -> None:
    async def story() -> None:
        ledger = Watched(Ledger(database))
        async with recording(ledger, flush_s=0.01) as recorder:  # type: ignore[arg-type]
            recorder.request(outcome())
            await asyncio.wait_for(asyncio.to_thread(ledger.added.wait, 30), 31)
            recorder.request(outcome())

    asyncio.run(story())
    assert [entry.amounts["requests"] for entry in Ledger(database).entries(*ALL)] == [2]


def test_days_are_those_of_utc(database: Database) -> None:
    now = [DAY * 86_400.0 - 1]

    async def story() -> None:
        recorder = Recorder(Ledger(database), lambda: now[0])
        recorder.request(outcome())
        now[0] += 1
        recorder.request(outcome())
        await recorder.flush()

    asyncio.run(story())
    assert [entry.day for entry in Ledger(database).entries(*ALL)] == ["2026-11-19", "2026-11-20"]


def test_while_the_database_is_away_counts_are_kept_and_their_number_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 3)
    lost = Lost(Ledger(database))

    async def story() -> None:
        recorder = Recorder(lost)  # type: ignore[arg-type]  # it adds as a ledger does
        for number in range(10):
            recorder.request(outcome(principal=Principal(f"key:{number}", "key", "t", frozenset())))
            assert not await recorder.flush()
            assert not await recorder.flush()
        recorder.note_lost()
        lost.away = False
        assert await recorder.flush()
        assert await recorder.flush()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(story())
    assert [said["event"] for said in lines] == ["usage_not_written", "usage_lost", "usage_written_again"]
    assert lines[1]["requests"] == 10
    assert [(entry.principal, entry.amounts["requests"]) for entry in Ledger(database).entries(*ALL)] == [
        ("_other", 7), ("key:0", 1), ("key:1", 1), ("key:2", 1)
    ]  # fmt: skip


class Unsure:
    """A ledger that adds, and is not heard of."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def add(self, batch: Batch) -> None:
        self.ledger.add(batch)
        raise StateAway("it does not answer")


def test_what_was_added_without_a_word_of_it_is_not_added_again(database: Database) -> None:
    ledger = Ledger(database)

    async def story() -> None:
        recorder = Recorder(ledger)
        for times in (2, 1):  # from its first batch, and from a later one
            recorder._ledger = Unsure(ledger)  # type: ignore[assignment]
            for _ in range(times):
                recorder.request(outcome(rows=5))
                assert not await recorder.flush()
            recorder._ledger = ledger
            recorder.request(outcome(rows=5))
            assert await recorder.flush()
            assert await recorder.flush()

    asyncio.run(story())
    assert next(ledger.entries(*ALL)).amounts == {"requests": 5, "rows": 25}


def test_writers_who_are_long_gone_are_forgotten(database: Database) -> None:
    ledger = Ledger(database)
    for number, day in enumerate((DAY, DAY + 61, DAY + 62)):
        ledger.add(Batch(f"writer {number}", 1, day, {line(): [1, 1]}))
    assert database.read("SELECT writer FROM usage_writers ORDER BY writer") == [("writer 1",), ("writer 2",)]


class Cut:
    """A way to a PostgreSQL that, once ``armed``, ends with the next COMMIT: done there, and never confirmed here."""

    def __init__(self, port: int) -> None:
        self.armed = threading.Event()
        self.cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server = ("127.0.0.1", port)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                threading.Thread(target=self._forth, args=(caller, server), daemon=True).start()
                threading.Thread(target=self._back, args=(caller, server), daemon=True).start()

    def _forth(self, caller: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end may go
            while data := caller.recv(65_536):
                if self.armed.is_set() and b"COMMIT" in data:
                    self.armed.clear()
                    self.cut.set()
                server.sendall(data)
        server.close()

    def _back(self, caller: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65_536)) and not self.cut.is_set():
                caller.sendall(data)
        self.cut.clear()
        caller.shutdown(socket.SHUT_RDWR)
        caller.close()

    def close(self) -> None:
        self._listener.close()


def test_a_commit_whose_confirmation_is_lost_counts_once(postgres: PostgresServer, tmp_path: Path) -> None:
    way = Cut(postgres.port)
    database = open_database(tmp_path, postgres.database().replace(f":{postgres.port}/", f":{way.port}/"))
    ledger = Ledger(database)

    async def story() -> None:
        recorder = Recorder(ledger)
        recorder.request(outcome())
        assert await recorder.flush()
        way.armed.set()
        recorder.request(outcome())
        assert not await recorder.flush(), "the confirmation came through"
        assert [entry.amounts["requests"] for entry in ledger.entries(*ALL)] == [2], "it was not committed"
        recorder.request(outcome())
        assert await recorder.flush()

    asyncio.run(story())
    assert [entry.amounts["requests"] for entry in ledger.entries(*ALL)] == [3]
    database.close()
    way.close()


def test_what_cannot_be_written_at_the_end_is_told(database: Database) -> None:
    async def story() -> None:
        async with recording(Lost(Ledger(database)), 60) as recorder:  # type: ignore[arg-type]
            recorder.request(outcome(rows=5))

    with structlog.testing.capture_logs() as lines:
        asyncio.run(story())
    assert lines[-1] == {"event": "usage_lost", "log_level": "error", "requests": 1, "rows": 5}


def test_names_longer_than_the_columns_are_clipped(database: Database) -> None:
    ledger = Ledger(database)
    ledger.add(batch({Line(DAY, "p" * 5000, "t" * 5000, "m" * 5000): [1, 1]}))
    assert len(next(ledger.entries(*ALL)).principal) == 1024


def test_a_spreadsheet_never_finds_a_formula() -> None:
    entries = [Entry("2026-11-20", '=HYPERLINK("x")', "@t", "m,1", {"requests": 1, "tokens": 5})]
    assert "".join(csv_lines(entries)) == (
        'day,principal,tenant,model,requests,rows\n2026-11-20,"\'=HYPERLINK(""x"")",\'@t,"m,1",1,0\n'
    )
