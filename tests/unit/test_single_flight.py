"""Equal questions share one computation, and nobody suffers for another's leaving."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foretell.caching.single_flight import SingleFlight
from foretell.errors import DeadlineExceeded, QueueFull
from tests.serving import run


def later(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


class Gate:
    """A computation that waits until it is let go, and counts how often it began and was called off."""

    def __init__(self, error: Exception | None = None) -> None:
        self.began = 0
        self.called_off = 0
        self.error = error
        self.open = asyncio.Event()

    async def __call__(self) -> int:
        self.began += 1
        number = self.began
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.called_off += 1
            raise
        if self.error is not None:
            raise self.error
        return number


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def flown(story: Callable[[SingleFlight[int], Gate], Awaitable[None]], error: Exception | None = None) -> None:
    async def told() -> None:
        flights: SingleFlight[int] = SingleFlight()
        await story(flights, Gate(error))
        await turns()
        assert len(flights) == 0, "a computation was left behind"

    run(told())


def test_equal_questions_are_one_computation_and_only_one_began_it() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        asked = [asyncio.ensure_future(flights.share("key", later(), gate)) for _ in range(100)]
        await turns()
        gate.open.set()
        answers = await asyncio.gather(*asked)
        assert [value for value, _ in answers] == [1] * 100
        assert sum(began for _, began in answers) == 1
        assert gate.began == 1

    flown(story)


def test_other_keys_and_later_questions_are_computations_of_their_own() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        gate.open.set()
        await asyncio.gather(flights.share("a", later(), gate), flights.share("b", later(), gate))
        await flights.share("a", later(), gate)
        assert gate.began == 3

    flown(story)


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_whoever_leaves_the_others_get_their_answer(leaving: int) -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        asked = [asyncio.ensure_future(flights.share("key", later(), gate)) for _ in range(3)]
        await turns()
        asked.pop(leaving).cancel()
        await turns()
        gate.open.set()
        assert [value for value, _ in await asyncio.gather(*asked)] == [1, 1]
        assert gate.called_off == 0

    flown(story)


def test_where_all_have_left_it_is_called_off_and_who_comes_then_begins_anew() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        asked = [asyncio.ensure_future(flights.share("key", later(), gate)) for _ in range(3)]
        await turns()
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        newcomer = asyncio.ensure_future(flights.share("key", later(), gate))
        await turns()
        gate.open.set()
        assert await newcomer == (2, True)
        assert (gate.began, gate.called_off) == (2, 1)

    flown(story)


def test_nobody_boards_what_is_being_called_off() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        async def reluctant() -> int:
            try:
                return await gate()
            finally:
                await turns(10)

        first = asyncio.ensure_future(flights.share("key", later(), reluctant))
        await turns()
        first.cancel()
        await turns(3)
        gate.open.set()
        assert await flights.share("key", later(), gate) == (2, True)
        await turns(10)

    flown(story)


def test_where_the_loop_itself_ends_a_computation_its_callers_end_too() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        before = asyncio.all_tasks()
        asked = [asyncio.ensure_future(flights.share("key", later(), gate)) for _ in range(3)]
        await turns()
        (computing,) = asyncio.all_tasks() - before - set(asked)
        computing.cancel()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}

    flown(story)


def test_a_failure_is_told_to_all_who_wait_and_is_forgotten() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        asked = [asyncio.ensure_future(flights.share("key", later(), gate)) for _ in range(3)]
        await turns()
        gate.open.set()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert told == [gate.error] * 3
        gate.error = None
        assert await flights.share("key", later(), gate) == (2, True)

    flown(story, QueueFull("full", retry_after_s=1))


def test_a_deadline_is_its_owners_alone() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        hasty = asyncio.ensure_future(flights.share("key", later(0.01), gate))
        patient = asyncio.ensure_future(flights.share("key", later(), gate))
        with pytest.raises(DeadlineExceeded):
            await hasty
        gate.open.set()
        assert await patient == (1, False)
        assert gate.began == 1

    flown(story)


@pytest.mark.parametrize("error", [DeadlineExceeded("over"), QueueFull("full", retry_after_s=1)])
def test_who_has_time_left_begins_anew_where_the_beginner_had_too_little(error: Exception) -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        first = asyncio.ensure_future(flights.share("key", later(30), gate))
        another = Gate()
        another.open.set()
        second = asyncio.ensure_future(flights.share("key", later(), another))
        await turns()
        gate.open.set()
        with pytest.raises(type(error)):
            await first
        assert await second == (1, True)

    flown(story, error)


def test_a_deadline_in_the_past_is_over_at_once() -> None:
    async def story(flights: SingleFlight[int], gate: Gate) -> None:
        with pytest.raises(DeadlineExceeded):
            await flights.share("key", later(-1), gate)

    flown(story)


def storm(rounds: int, seed: int) -> None:
    """Random questions, random leaving: everyone who stays gets the answer to the question asked."""

    async def story() -> int:
        chance = random.Random(seed)
        flights: SingleFlight[Any] = SingleFlight()
        wrong = 0

        def computing(key: int) -> Callable[[], Awaitable[str]]:
            async def compute() -> str:
                await turns(chance.randrange(4))
                if key % 13 == 0:
                    raise ValueError(str(key))
                return f"answer {key}"

            return compute

        async def ask(key: int) -> None:
            nonlocal wrong
            try:
                answer, _ = await flights.share(key, later(), computing(key))
            except ValueError as error:
                wrong += str(error) != str(key)
            else:
                wrong += answer != f"answer {key}"

        for _ in range(rounds // 100):
            asked = [asyncio.ensure_future(ask(chance.randrange(20))) for _ in range(100)]
            for _ in range(4):
                await asyncio.sleep(0)
                for leaver in chance.sample(asked, 10):
                    leaver.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        await turns()
        assert len(flights) == 0
        return wrong

    assert run(story()) == 0


def test_random_questions_and_random_leaving_mix_nothing_up() -> None:
    storm(5_000, seed=1)
