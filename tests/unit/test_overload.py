"""A model that is offered more than it can do, in time that is only counted: what comes of the requests.

The batcher and the admission are the real ones. The model is a formula: a call of n rows takes ``fixed_s + n * row_s``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Outputs
from foretell.execution.admission import fits
from foretell.execution.base import Call, Run
from foretell.execution.batcher import Batcher
from tests.report import Report

SIGNATURE = Signature((Column("x"),), output=Output("regression"))


@dataclass(eq=False)
class Asked:
    """One row, and when it was answered or given up."""

    arrived_s: float
    deadline_s: float
    story: Story
    rows: list[list[float]] = field(default_factory=lambda: [[0.0]])
    count: int = 1
    abandoned: bool = False

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        ended_s = run.started_s + run.duration_s
        self.story.answered.append((ended_s, ended_s - self.arrived_s, ended_s <= self.deadline_s))

    def fail(self, error: Exception) -> None:
        self.story.expired += 1


@dataclass
class Story:
    """What a model of ``fixed_s + n * row_s`` makes of a row every so often."""

    fixed_s: float
    row_s: float
    max_rows: int = 64
    max_queue_s: float = 2.0
    call_ms: dict[int, float] | None = None
    max_waiting_rows: int = 16_384
    answered: list[tuple[float, float, bool]] = field(default_factory=list)
    refused: int = 0
    expired: int = 0
    deepest: int = 0

    @property
    def peak_per_s(self) -> float:
        return self.max_rows / (self.fixed_s + self.max_rows * self.row_s)

    def run(self, arrivals: Iterator[tuple[float, float]]) -> None:
        """Serves ``arrivals`` (when, and how long each may take) in order, then what is left."""
        batcher = Batcher(SIGNATURE, self.max_rows, self.max_waiting_rows, self.call_ms)
        self._batch: list[Call] = []
        self._free_s = 0.0
        for now_s, timeout_s in arrivals:
            while self._free_s <= now_s and (self._batch or batcher):
                self._turn(batcher, self._free_s)
            if fits(batcher.prospect(1, now_s), timeout_s, self.max_queue_s):
                batcher.add(Asked(now_s, now_s + timeout_s, self))
                self.deepest = max(self.deepest, batcher.waiting_rows)
                if not self._batch:
                    self._turn(batcher, now_s)
            else:
                self.refused += 1
        while self._batch or batcher:
            self._turn(batcher, self._free_s)
        assert batcher.waiting_rows == 0

    def _turn(self, batcher: Batcher, now_s: float) -> None:
        """Ends the call that runs, and begins the next."""
        if self._batch:
            rows = len(self._batch)
            took_s = self.fixed_s + rows * self.row_s
            outputs = Outputs(SIGNATURE.output, values=np.zeros(rows))
            batcher.deliver(self._batch, outputs, Run(rows, now_s - took_s, took_s))
        self._batch = batcher.take(now_s)
        self._free_s = now_s + self.fixed_s + len(self._batch) * self.row_s

    def goodput(self, since_s: float, until_s: float) -> float:
        """Answers in time, a second."""
        return sum(timely and since_s < at <= until_s for at, _, timely in self.answered) / (until_s - since_s)


def steady(per_s: float, since_s: float, until_s: float, timeout_s: float) -> Iterator[tuple[float, float]]:
    for i in range(int((until_s - since_s) * per_s)):
        yield since_s + i / per_s, timeout_s


@pytest.mark.parametrize("timeout_s", [30.0, 1.0, 0.5])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param((0.0, 0.002, 64, None), id="500 a second, whatever the batch, not measured before"),
        pytest.param((0.0, 0.002, 64, {1: 2.0, 64: 128.0}), id="500 a second, as measured"),
        pytest.param((0.0, 0.002, 64, {1: 0.5, 64: 8.0}), id="slower than measured"),
        pytest.param((0.0, 0.002, 64, {1: 20.0, 64: 1000.0}), id="faster than measured"),
        pytest.param((0.06, 0.001, 64, {1: 61.0, 64: 124.0}), id="batches pay"),
        pytest.param((0.002, 0.0, 1, None), id="no batches"),
    ],
)
def test_offered_five_times_too_much_a_model_gives_what_it_can_and_is_itself_again_soon(
    model: tuple[float, float, int, dict[int, float] | None],
    timeout_s: float,
    report: Report,
    request: pytest.FixtureRequest,
) -> None:
    fixed_s, row_s, max_rows, call_ms = model
    story = Story(fixed_s, row_s, max_rows, call_ms=call_ms)
    flood_per_s, calm_per_s = 5 * story.peak_per_s, 0.3 * story.peak_per_s

    def arrivals() -> Iterator[tuple[float, float]]:
        yield from steady(calm_per_s, 0.0, 5.0, timeout_s)
        yield from steady(flood_per_s, 5.0, 25.0, timeout_s)
        yield from steady(calm_per_s, 25.0, 35.0, timeout_s)

    story.run(arrivals())
    name = request.node.callspec.id.rpartition("-")[0]
    report(
        f"Five times too much for 20 s, counted time, deadline {timeout_s:g} s: {name}",
        bar="goodput ≥ 0.8 of the peak",
        goodput=story.goodput(8.0, 25.0) / story.peak_per_s,
        deepest_queue=story.deepest,
    )
    assert story.goodput(8.0, 25.0) >= 0.8 * story.peak_per_s
    assert story.refused > 0
    late = sum(not timely for *_, timely in story.answered)
    assert late + story.expired <= 0.1 * len(story.answered), "who was let in was answered in time"
    assert story.deepest <= 3.5 * story.peak_per_s + 2 * max_rows, "memory is bounded by time, not by the flood"
    usual_s = max(latency for at, latency, _ in story.answered if at < 5.0)
    after_s = max(latency for at, latency, _ in story.answered if at > 30.0)
    assert after_s <= 1.5 * usual_s + 0.01, "back to normal five seconds after"


def test_without_admission_the_same_flood_leaves_nothing() -> None:
    story = Story(0.0, 0.002, 64, max_queue_s=float("inf"), max_waiting_rows=1_000_000)
    story.run(steady(2500.0, 0.0, 10.0, 1e9))
    latest = [latency for at, latency, _ in story.answered if at > 30.0]
    assert min(latest) > 20.0, "else the test above proves nothing"


def test_a_deadline_shorter_than_the_queue_never_waits_in_it() -> None:
    story = Story(0.01, 0.001, 16)

    def arrivals() -> Iterator[tuple[float, float]]:
        for at_s, timeout_s in steady(1000.0, 0.0, 10.0, 30.0):
            yield at_s, timeout_s
            yield at_s, 0.005

    story.run(arrivals())
    assert story.expired <= 0.001 * 10_000
    assert story.refused >= 9_000
