"""Answerers over one file: order, a bound on what is ahead, another try for a part whose process died."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.cli.scoring.local import Died, ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.pool import AHEAD, TRIES, Pool
from foretell.cli.scoring.scorer import Scored

WAIT_S = 30.0


class Fake:
    """Answers as it is told; ``before`` runs first."""

    def __init__(self, before: Callable[[Part], None] = lambda _: None) -> None:
        self.before = before
        self.asked: list[int] = []
        self.stopped = self.closed = False

    def score(self, part: Part, target: Path) -> Scored:
        self.asked.append(part.index)
        self.before(part)
        return Scored(part, target, part.index, 0)

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


def pool(answerers: list[Fake], count: int, first: int = 0) -> Pool:
    return Pool(answerers, (Part(n, n, n + 1) for n in range(first, count)), lambda part: Path(str(part.index)))


def test_parts_come_back_in_order_whoever_is_first() -> None:
    late = threading.Event()

    def slow(part: Part) -> None:
        if part.index == 0:
            assert late.wait(WAIT_S)
        if part.index == 3:
            late.set()

    answerers = [Fake(slow), Fake(slow)]
    assert [scored.part.index for scored in pool(answerers, 20).scored()] == list(range(20))
    assert all(answerer.closed and not answerer.stopped for answerer in answerers)
    assert sorted(answerers[0].asked + answerers[1].asked) == list(range(20))


def test_a_run_that_goes_on_begins_with_its_next_part() -> None:
    assert [scored.rows for scored in pool([Fake()], 9, first=6).scored()] == [6, 7, 8]
    assert list(pool([Fake()], 9, first=9).scored()) == []


def test_only_so_many_parts_are_ahead_of_the_next_in_order() -> None:
    asked, gate = threading.Semaphore(0), threading.Event()

    def held(part: Part) -> None:
        asked.release()
        if part.index == 0:
            assert gate.wait(WAIT_S)

    answerers = [Fake(held), Fake(held)]
    found = pool(answerers, 100).scored()
    took = threading.Thread(target=lambda: next(found))
    took.start()
    for _ in range(2 * AHEAD):
        assert asked.acquire(timeout=WAIT_S)
    assert not asked.acquire(timeout=0.2)
    gate.set()
    took.join(WAIT_S)
    found.close()  # type: ignore[attr-defined]
    assert all(answerer.closed for answerer in answerers)


def test_a_part_whose_process_died_is_tried_again_but_not_for_ever() -> None:
    deaths = [2]

    def dies(part: Part) -> None:
        if part.index == 1 and deaths[0]:
            deaths[0] -= 1
            raise Died("it was killed by signal 9")

    assert [scored.part.index for scored in pool([Fake(dies)], 4).scored()] == [0, 1, 2, 3]
    deaths[0] = 10**9
    with pytest.raises(
        ScoringFailed, match=f"Part 2 was given up after {TRIES} tries: it was killed by signal 9"
    ) as caught:
        list(pool([Fake(dies)], 4).scored())
    assert caught.value.exit_code == 70


def test_what_goes_wrong_is_raised_and_nothing_goes_on() -> None:
    def fails(part: Part) -> None:
        if part.index == 2:
            raise ScoringFailed("no such column")

    answerers = [Fake(fails), Fake(fails)]
    with pytest.raises(ScoringFailed, match="no such column"):
        list(pool(answerers, 1000).scored())
    assert all(answerer.closed and answerer.stopped for answerer in answerers)
    assert len(answerers[0].asked) + len(answerers[1].asked) < 100
