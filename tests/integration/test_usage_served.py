"""The usage ledger of real servers: what is in it once they have stopped, or were killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from foretell.settings import Settings
from foretell.state.database import BUSY_S
from foretell.state.postgres import CONNECT_S, STATEMENT_S
from tests.e2e.process import Serving, children, serving, until
from tests.limited import SINGLE, batch, flood, iris, make_key
from tests.report import Report
from tests.wire import Wire, post


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iris(tmp_path_factory.mktemp("models"))


def amounts(server: Serving) -> dict[str, int]:
    with sqlite3.connect(f"file:{server.log.parent / 'state' / 'foretell.db'}?mode=ro", uri=True) as database:
        found = database.execute("SELECT unit, sum(amount) FROM usage WHERE principal = 'key:partner-x' GROUP BY unit")
        return dict(found.fetchall())


def test_a_clean_stop_loses_no_usage(repository: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "partner-x")
    with serving(repository, tmp_path, workers=2) as server:
        assert flood([server], key, 200) == {200: 200}
        assert batch(server, key, 40) == 200
        assert batch(server, "wrong", 40) == 401
        assert server.stop(signal.SIGTERM) == 0
    assert amounts(server) == {"requests": 201, "rows": 240}


class Callers:
    """Ask on and on until nobody answers; ``answered_s`` says when each answer came."""

    def __init__(self, server: Serving, key: str, count: int = 4) -> None:
        self.answered_s: list[float] = []
        self.count = count
        self._threads = [threading.Thread(target=self._ask, args=(server.port, key)) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"

    def _ask(self, port: int, key: str) -> None:
        with contextlib.suppress(OSError, EOFError), Wire(port, wait_s=60) as wire:  # until the worker is killed
            while True:
                wire.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
                assert wire.answer().status == 200
                self.answered_s.append(time.monotonic())


MINUTE_S = 60


@pytest.mark.parametrize(
    ("flush_s", "load_s"),
    [(0.2, 0), pytest.param(10.0, 90, marks=[pytest.mark.torture, pytest.mark.timeout(600)])],
)
def test_a_server_that_is_killed_loses_a_minute_of_usage_at_most(
    repository: Path, tmp_path: Path, flush_s: float, load_s: float, report: Report
) -> None:
    key = make_key(tmp_path, "partner-x")
    with serving(repository, tmp_path, workers=2, state__usage_flush_s=flush_s) as server:
        callers = Callers(server, key)
        callers.start()
        time.sleep(load_s)
        first = until(lambda: amounts(server).get("requests"), "nothing was written")
        seen = until(lambda: (now := amounts(server)["requests"]) > first and now, "it was written once only")
        workers = set(children(server))
        assert len(workers) == 2
        killed_s = time.monotonic()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        callers.join()
        until(lambda: len(set(children(server)) - workers) == 2 and server.ready(), "the workers were not replaced")
        assert server.stop() == 0
    written, answered_s = amounts(server)["requests"], sorted(callers.answered_s)
    lost_s = killed_s - answered_s[written] if written < len(answered_s) else 0.0
    report(
        "A server that is killed under load loses a minute of its usage at most",
        bar=f"{MINUTE_S} s",
        written_every_s=flush_s,
        answered=len(answered_s),
        written=written,
        oldest_lost_s=lost_s,
    )
    assert seen <= written <= len(answered_s) + callers.count, "what was written stays, and nothing counts twice"
    assert written >= sum(moment_s < killed_s - MINUTE_S for moment_s in answered_s)


def test_no_setting_makes_it_more_than_a_minute() -> None:
    field = type(Settings().state).model_fields["usage_flush_s"]
    (most,) = [limit.le for limit in field.metadata if hasattr(limit, "le")]
    # a write waits for the database so long at most
    assert most + BUSY_S < MINUTE_S
    assert most + CONNECT_S + STATEMENT_S < MINUTE_S
