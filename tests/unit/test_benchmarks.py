"""The arithmetic of the benchmarks: medians, floors, and what is taken for a result of wrk."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.bench import medians
from benchmarks.floors import FLOORS, Floor, difference, ratio
from benchmarks.openloop import Plan, Tally, percentile
from benchmarks.peers.environment import PeerMissingError, recipe, step
from benchmarks.peers.peer import PEERS, Peer
from benchmarks.report import show
from benchmarks.wrk import Load, LoadError, outcome

LOAD = Load("http://127.0.0.1:1/", b"{}", 64)


def test_the_median_of_the_rounds_counts() -> None:
    assert medians([{"per_s": 1.0}, {"per_s": 100.0}, {"per_s": 3.0}]) == {"per_s": 3.0}


def test_a_result_of_wrk_is_read() -> None:
    read = outcome(LOAD, "noise\nRESULT 5000 2000000 1500 9000 0 0\n", "")
    assert (read.requests, read.per_s, read.p50_ms, read.p99_ms) == (5000, 2500.0, 1.5, 9.0)


@pytest.mark.parametrize(
    "printed", ["", "RESULT 10 1000000 1 1 3 0\n", "RESULT 10 1000000 1 1 0 2\n", "RESULT 0 1 0 0 0 0\n"]
)
def test_a_load_with_failures_gives_no_figures(printed: str) -> None:
    with pytest.raises(LoadError, match=r"wrk gave no result|of \d+ requests"):
        outcome(LOAD, printed, "unable to connect")


def test_a_floor_is_measured_where_the_run_has_its_figures() -> None:
    results = {"a": {"per_s": 30.0, "p99_ms": 4.0}, "b": {"per_s": 20.0, "p99_ms": 1.0}}
    rate = Floor("a / b", ">=", 1.5, ratio("per_s", "a", "b"))
    tail = Floor("a - b", "<=", 2.0, difference("p99_ms", "a", "b"))
    assert rate.measure(results) == 1.5
    assert rate.met(1.5)
    assert not rate.met(1.49)
    assert tail.measure(results) == 3.0
    assert not tail.met(3.0)
    assert tail.met(2.0)
    assert rate.measure({"a": {"per_s": 1.0}}) is None


def test_the_report_says_which_floors_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    results = {"start/foretell": {"start_s": 1.0}, "start/imports": {"start_s": 0.5}}
    show(Console(width=120), results, FLOORS)
    printed = capsys.readouterr().out
    assert "first prediction / bare imports" in printed
    assert "short" in printed
    assert "iris v1" not in printed


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [([], 0.5, 0.0), ([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0, 2.0], 0.99, 2.0)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, value: float) -> None:
    assert percentile(values, share) == value


def test_a_request_is_timed_from_when_it_was_due() -> None:
    """An open load does not wait for the server: who is served late has waited, whether he could be sent or not."""
    now_s = time.perf_counter()
    tally = Tally(Plan(per_s=10, seconds=100.0, timeout_s=5.0, skip_s=1.0), started_s=now_s - 50.0)
    assert not tally.asks(now_s - 49.5), "what is not counted yet"
    for due_s, status in ((now_s - 2.0, 200), (now_s - 9.0, 200), (now_s - 0.1, 503), (now_s - 3.0, 0)):
        tally.came(status, due_s, tally.asks(due_s))
    offered = tally.offered()
    assert tally.asked == tally.counted == 4
    assert offered.p50_ms == pytest.approx(2000, rel=0.1)
    assert offered.p99_ms == pytest.approx(9000, rel=0.1)
    assert (tally.timely, offered.late, offered.failed, offered.refused_share) == (1, 1, 1, 0.25)
    assert offered.goodput_per_s == pytest.approx(1 / 99)


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_every_peer_is_started_from_its_own_environment_and_asked_the_same_rows(peer: Peer, tmp_path: Path) -> None:
    how = recipe(peer, tmp_path, tmp_path / "home")
    assert f"HOME={tmp_path / 'home'}" in how.command, "it keeps nothing in the home of who measures"
    assert any(part.startswith(str(tmp_path / "env" / "bin")) for part in how.command)
    assert sum("{port}" in part for part in how.command) == 1
    assert not any(mark in part for part in how.command for mark in ("{bin}", "{folder}", "{apps}"))
    assert b"[[5.1,3.5]]" in peer.message([[5.1, 3.5]])


def test_what_cannot_be_installed_is_reported_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(PeerMissingError, match="no such package here"):
        step([sys.executable, "-c", "import sys; sys.exit('no such package here')"], 60)
    with pytest.raises(PeerMissingError, match="TimeoutExpired"):
        step([sys.executable, "-c", "import time; time.sleep(60)"], 0)
