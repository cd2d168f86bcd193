"""What measured costs mean for how a version runs."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from foretell.core.execution import Mode
from foretell.execution.costs import Costs, choose, measure_calls, measure_loop_lag


@pytest.mark.parametrize(
    ("call_ms", "lag_ms", "mode"),
    [
        pytest.param({1: 0.18, 64: 0.19, 256: 0.2}, 0.1, "direct", id="logistic regression: a hop costs more"),
        pytest.param({1: 3.1, 64: 3.1, 256: 3.3}, 100.0, "direct", id="forest: holds the GIL, starves from a thread"),
        pytest.param({1: 4.0, 64: 8.0, 256: 20.0}, 0.5, "threaded", id="boosting: releases the GIL"),
        pytest.param({1: 0.9, 64: 40.0}, 0.1, "direct", id="short calls stay in the loop, with few rows"),
        pytest.param({1: 50.0}, None, "direct", id="nothing known of the lag"),
        pytest.param({1: 4.0}, 1.95, "direct", id="a lag of half the call is no gain with the hop"),
    ],
)
def test_the_thread_is_taken_where_it_keeps_the_loop_freer(
    call_ms: dict[int, float], lag_ms: float | None, mode: Mode
) -> None:
    assert choose(Costs(call_ms, lag_ms), 5.0).mode == mode


def test_a_setting_decides_the_mode() -> None:
    costs = Costs({1: 0.1, 64: 0.1}, 50.0)
    assert choose(costs, 5.0, "threaded").mode == "threaded"
    assert "by setting" in choose(costs, 5.0, "direct").reason


@pytest.mark.parametrize(
    ("call_ms", "low", "high"),
    [
        ({1: 0.2, 64: 0.2, 256: 0.2}, 10_000, 65_536),
        ({1: 3.0, 64: 3.1, 256: 3.3}, 1_000, 3_000),
        ({1: 0.1, 8: 0.8, 64: 6.4, 256: 25.6}, 45, 50),
        ({1: 40.0, 8: 40.1}, 100, 65_536),
        ({1: 40.0, 8: 320.0}, 1, 2),
        ({1: 7.0}, 1, 1),
    ],
)
def test_rows_of_a_call_in_the_loop_are_capped_by_what_it_costs(call_ms: dict[int, float], low: int, high: int) -> None:
    assert low <= choose(Costs(call_ms, 1000.0), 5.0).max_rows <= high


def test_measuring_stops_growing_once_the_time_is_spent() -> None:
    sizes: list[int] = []

    def slow(rows: int) -> None:
        sizes.append(rows)
        time.sleep(0.05)

    assert list(measure_calls(slow)) == [1]
    assert set(sizes) == {1}
    assert list(measure_calls(lambda rows: None, (1, 4))) == [1, 4]


def test_a_call_that_holds_the_gil_shows_as_lag_and_one_that_sleeps_does_not() -> None:
    def spin() -> int:
        return sum(range(2_000_000))

    def rest() -> None:
        time.sleep(0.001)

    # a busy machine hiccups: what starves the loop does so at every try, what does not shows at one of them
    pairs = [(asyncio.run(measure_loop_lag(spin)), asyncio.run(measure_loop_lag(rest))) for _ in range(5)]
    assert min(free for _, free in pairs) < min(held for held, _ in pairs)
    held = pairs[0][0]
    document = Costs({1: 1.23456}, held).to_document()
    assert document["call_ms"] == {"1": 1.2346}
    assert document["loop_lag_ms"] == round(held, 3)
    assert Costs({1: 1.0}).to_document()["loop_lag_ms"] is None


def test_measuring_that_is_given_up_leaves_no_thread_calling() -> None:
    calling = threading.Event()

    def call() -> None:
        calling.set()
        time.sleep(0.001)

    async def story() -> None:
        measuring = asyncio.create_task(measure_loop_lag(call))
        while not calling.is_set():  # noqa: ASYNC110  # the measuring takes turns with this
            await asyncio.sleep(0)
        measuring.cancel()
        await asyncio.wait([measuring])
        assert measuring.cancelled()

    asyncio.run(story())
    for thread in threading.enumerate():
        if thread.name == "foretell-lag":
            thread.join(20)
            assert not thread.is_alive()
