"""Work that is due for many at once is done a little in each turn of the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps

import pytest

from foretell.wire.turns import SLICE_S, Turns


def in_a_loop(story: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Runs a test in a loop of its own."""

    @wraps(story)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(story(*args, **kwargs))

    return run


def spin(seconds: float) -> None:
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pass


async def rounds_until(done: Callable[[], bool]) -> int:
    """How often the loop goes round until then."""
    rounds = 0
    while not done():
        await asyncio.sleep(0)
        rounds += 1
    return rounds


@in_a_loop
async def test_what_takes_long_is_spread_over_as_many_turns_of_the_loop() -> None:
    turns, done = Turns(), list[int]()

    def work(number: int) -> None:
        spin(SLICE_S)
        done.append(number)

    for number in range(20):
        turns.later(0.0, partial(work, number))
    assert await rounds_until(lambda: len(done) == 20) >= 19
    assert done == list(range(20))


@in_a_loop
async def test_what_takes_no_time_shares_a_turn() -> None:
    turns, done = Turns(), list[int]()
    for number in range(200):
        turns.later(0.0, partial(done.append, number))
    assert await rounds_until(lambda: len(done) == 200) < 100
    assert done == list(range(200))


@in_a_loop
async def test_what_is_due_first_is_done_first_and_nothing_before_its_time() -> None:
    turns, done = Turns(), list[tuple[float, float]]()
    began_s = time.perf_counter()

    def note(seconds: float) -> None:
        done.append((seconds, time.perf_counter() - began_s))

    for seconds in (0.06, 0.02, 0.04, 0.0):
        turns.later(seconds, partial(note, seconds))
    await rounds_until(lambda: len(done) == 4)
    assert [seconds for seconds, _ in done] == [0.0, 0.02, 0.04, 0.06]
    assert all(taken_s > seconds - 0.003 for seconds, taken_s in done)


@in_a_loop
async def test_what_was_called_off_is_not_done() -> None:
    turns, done = Turns(), list[str]()
    first = turns.later(0.0, partial(done.append, "first"))
    turns.later(0.001, partial(done.append, "second"))
    first.cancel()
    first.cancel()
    assert first.take() is None
    await rounds_until(lambda: bool(done))
    assert done == ["second"]


@in_a_loop
async def test_who_fails_takes_nobody_elses_turn() -> None:
    turns, done, told = Turns(), list[str](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    failure = ValueError("it failed")

    def fail() -> None:
        raise failure

    turns.later(0.0, fail)
    turns.later(0.0, partial(done.append, "second"))
    await rounds_until(lambda: bool(done))
    assert told == [failure]


@in_a_loop
async def test_work_may_ask_for_another_turn() -> None:
    turns, done = Turns(), list[int]()

    def again() -> None:
        done.append(len(done))
        if len(done) < 3:
            turns.later(0.0, again)

    turns.later(0.0, again)
    await rounds_until(lambda: len(done) == 3)


@in_a_loop
async def test_those_who_wait_go_on_one_in_each_turn_and_who_gave_up_is_left_out() -> None:
    turns, went_on, rounds = Turns(), list[tuple[int, int]](), 0

    async def wait(number: int) -> None:
        await turns.mine()
        went_on.append((number, rounds))

    tasks = [asyncio.create_task(wait(number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        rounds += 1
    assert [number for number, _ in went_on] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert len({at for _, at in went_on}) == 9


@in_a_loop
async def test_there_is_time_at_once_for_one_but_not_for_two_nor_ahead_of_what_waits() -> None:
    turns, done = Turns(), list[str]()
    assert turns.spare()
    turns.later(0.0, partial(done.append, "waited"))
    spin(2 * SLICE_S)
    assert not turns.spare(), "something waits"
    await rounds_until(lambda: bool(done))
    assert turns.spare()


@pytest.mark.parametrize("pause_s", [0.0, 2 * SLICE_S])
@in_a_loop
async def test_what_may_happen_at_once_may_not_happen_twice_within_a_slice(pause_s: float) -> None:
    turns = Turns()
    began_s = time.perf_counter()
    assert turns.spare()
    spin(pause_s)
    again = turns.spare()
    assert again == (pause_s > 0) or time.perf_counter() - began_s > SLICE_S
