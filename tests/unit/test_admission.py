"""Who may wait, as tables: what waits and how fast it goes on the left, what that means on the right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import DeadlineExceeded, QueueFull
from foretell.execution.admission import MARGIN, OWN_TIMES, Pace, fits, refusal, whole_seconds
from foretell.execution.base import AT_ONCE, Prospect


@pytest.mark.parametrize(
    ("prospect", "remaining_s", "welcome"),
    [
        pytest.param(AT_ONCE, 30.0, True, id="nothing waits"),
        pytest.param(Prospect(0.0, 9.0), 1.0, True, id="nothing waits: only trying tells what it really takes"),
        pytest.param(AT_ONCE, 0.0, False, id="its time is up"),
        pytest.param(AT_ONCE, -1.0, False, id="its time has long been up"),
        pytest.param(Prospect(1.0, 1.1), 30.0, True, id="a short wait"),
        pytest.param(Prospect(1.0, 1.1), 1.2, False, id="in time by the estimate, but with nothing to spare"),
        pytest.param(Prospect(1.0, 1.1), 1.1 * MARGIN, True, id="in time with a quarter to spare"),
        pytest.param(Prospect(0.02, 0.03), 0.005, False, id="a deadline shorter than the queue"),
        pytest.param(Prospect(2.0, 2.1), 30.0, True, id="as long a wait as a request may have"),
        pytest.param(Prospect(2.1, 2.2), 30.0, False, id="a longer one, although it would be answered in time"),
        pytest.param(Prospect(8.0, 10.0), 30.0, True, id="four times what it takes itself: a slow model"),
        pytest.param(Prospect(8.1, 10.1), 30.0, False, id="more than four times what it takes itself"),
        pytest.param(Prospect(8.0, 10.0), 12.0, False, id="a slow model and a caller in a hurry"),
    ],
)
def test_who_may_wait(prospect: Prospect, remaining_s: float, welcome: bool) -> None:
    assert fits(prospect, remaining_s, 2.0) is welcome
    assert (refusal(prospect, remaining_s, 2.0) is None) is welcome


def test_whose_time_is_up_gets_a_504_and_whose_time_is_too_short_a_503() -> None:
    assert isinstance(refusal(AT_ONCE, 0.0, 2.0), DeadlineExceeded)
    refused = refusal(Prospect(5.2, 5.5), 3.0, 60.0)
    assert isinstance(refused, QueueFull)
    assert refused.retry_after_s == 6
    assert "about 5.5 s and this request has 3 s left" in refused.detail
    patient = refusal(Prospect(2.5, 2.6), 30.0, 2.0)
    assert isinstance(patient, QueueFull)
    assert patient.retry_after_s == 3
    assert "wait about 2.5 s" in patient.detail


@pytest.mark.parametrize(("wait_s", "seconds"), [(0.0, 1), (0.001, 1), (1.0, 1), (1.01, 2), (59.5, 60), (1e9, 60)])
def test_when_to_come_back_is_in_whole_seconds(wait_s: float, seconds: int) -> None:
    assert whole_seconds(wait_s) == seconds


CALL_MS = {1: 1.0, 8: 1.7, 64: 8.0}


@pytest.mark.parametrize(
    ("rows", "ms"),
    [(0, 0.0), (1, 1.0), (2, 1.1), (8, 1.7), (36, 4.85), (64, 8.0), (1000, 8.0)],
)
def test_a_call_costs_what_was_measured_and_the_line_between(rows: int, ms: float) -> None:
    assert Pace(64, CALL_MS).call_s(rows) * 1e3 == pytest.approx(ms)


def test_a_size_below_the_smallest_known_costs_no_less() -> None:
    assert Pace(64, {8: 2.0}).call_s(1) == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("rows", "ahead", "running", "elapsed_ms", "wait_ms", "answer_ms"),
    [
        pytest.param(1, 0, 0, 0.0, 0.0, 1.0, id="idle"),
        pytest.param(1, 0, 1, 0.25, 0.75, 1.75, id="one runs"),
        pytest.param(1, 0, 1, 1.5, 0.0, 1.0, id="one runs and should be over"),
        pytest.param(1, 0, 1, 5000.0, 5000.0, 5001.0, id="one hangs: for as long again"),
        pytest.param(1, 7, 0, 0.0, 0.7, 1.7, id="it joins the others in the next call"),
        pytest.param(1, 64, 64, 3.0, 13.0, 14.0, id="a call runs and one is full"),
        pytest.param(1, 191, 64, 0.0, 31.0, 32.0, id="a call runs, two are full, and it completes the third"),
        pytest.param(192, 0, 0, 0.0, 0.0, 24.0, id="more rows than a call takes"),
    ],
)
def test_what_a_call_meets(
    rows: int, ahead: int, running: int, elapsed_ms: float, wait_ms: float, answer_ms: float
) -> None:
    prospect = Pace(64, CALL_MS).prospect(rows, ahead, running, elapsed_ms / 1e3)
    assert prospect.wait_s * 1e3 == pytest.approx(wait_ms)
    assert prospect.answer_s * 1e3 == pytest.approx(answer_ms)


def test_a_model_that_nothing_is_known_of_is_welcome_to_work() -> None:
    assert Pace(64).prospect(1000, 16_000, 64, 0.5) == AT_ONCE


def test_the_pace_follows_what_calls_really_take_and_a_hiccup_moves_it_little() -> None:
    pace = Pace(64, CALL_MS)
    pace.ran(64, 30.0)
    assert pace.call_s(64) < 0.016, "one call that stood still is no slow model"
    for _ in range(40):
        pace.ran(64, 0.2)
    assert pace.call_s(64) == pytest.approx(0.2, rel=0.01)
    assert pace.call_s(1) == pytest.approx(0.001), "of other sizes nothing was learned"
    for _ in range(40):
        pace.ran(64, 0.004)
    assert pace.call_s(64) == pytest.approx(0.004, rel=0.01)


def test_what_was_not_measured_is_learned_from_the_first_call() -> None:
    pace = Pace(64)
    pace.ran(10, 0.5)
    assert pace.span_s(10) == pytest.approx(0.5)


seconds = st.floats(0, 1e4, allow_nan=False)


@given(
    calls=st.lists(st.tuples(st.integers(1, 5000), seconds), max_size=30),
    rows=st.integers(1, 5000),
    ahead=st.integers(0, 20_000),
    running=st.integers(0, 5000),
    elapsed_s=seconds,
)
def test_an_estimate_is_always_a_time(
    calls: list[tuple[int, float]], rows: int, ahead: int, running: int, elapsed_s: float
) -> None:
    pace = Pace(256, CALL_MS)
    for call in calls:
        pace.ran(*call)
    prospect = pace.prospect(rows, ahead, running, elapsed_s)
    assert 0.0 <= prospect.wait_s <= prospect.answer_s * (1 + 1e-9)
    assert math.isfinite(prospect.answer_s)
    assert pace.prospect(rows, ahead + 256, running, elapsed_s).wait_s >= prospect.wait_s
    if not running and not ahead:
        assert fits(prospect, 1e-9, OWN_TIMES)
