"""The arithmetic of the benchmarks: medians, floors, and what is taken for a result of wrk."""

from __future__ import annotations

import pytest
from rich.console import Console

from benchmarks.bench import medians
from benchmarks.floors import FLOORS, Floor, difference, ratio
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
