"""Put, break, change, remove, rescan, acquire, release, in any order: what holds whatever happens.

A version is never closed while it is leased, and always closed, once, after it was let go and its last lease ended; one
that fails never replaces one that answers; what answers was ready.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from foretell.core.identity import Ref
from foretell.errors import IntegrityError, RequestError
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.testing import FakeExecutor, FakeModel
from tests.report import Report
from tests.versions import World

models = st.sampled_from(["iris", "churn"])
versions = st.sampled_from(["v1", "v2", "v3", "v10"])
good = st.sampled_from([b"1", b"2", b"3"])
bad = st.sampled_from([b"no number", b"nan", IntegrityError("half-copied")])


class Lifecycle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.seen: set[Servable] = set()
        self.leases: Counter[Servable] = Counter()
        self.do(self.world.reconciler.start())

    def do(self, story: Coroutine[Any, Any, object]) -> None:
        self.runner.run(story)
        self.settle()
        self.seen |= set(self.world.catalog.servables)

    def settle(self) -> None:
        """Lets everything that may close do so."""

        async def closed() -> None:
            idle = [servable for servable in self.seen if not self.leases[servable]]
            await asyncio.gather(*(servable.closed() for servable in idle))

        self.runner.run(closed())

    @rule(model=models, version=versions, content=good | bad)
    def put(self, model: str, version: str, content: Any) -> None:
        self.world.memory.put(model, version, content)

    @rule(model=models, version=versions)
    def corrupt(self, model: str, version: str) -> None:
        self.world.memory.corrupt ^= {Ref(model, version)}

    @rule(model=models, version=versions)
    def remove(self, model: str, version: str) -> None:
        self.world.memory.versions.pop(Ref(model, version), None)

    @rule()
    def rescan(self) -> None:
        before = {servable.ref: servable for servable in self.world.catalog.servables}
        held = {name for name, model in self.world.catalog.models.items() if model.latest}
        self.do(self.world.reconciler.rescan())
        there = {ref.model for ref in self.world.memory.versions}
        after = {servable.ref: servable for servable in self.world.catalog.servables}
        for ref in before.keys() & after.keys():
            assert before[ref] is after[ref], "a version that answers is never loaded again"
        for ref in before.keys() & self.world.memory.versions.keys():
            assert ref in after, "a version whose folder is there goes on answering, whatever was done to it"
        for name in held & there:
            assert self.world.catalog.get(name).latest, "a model that answered and is still there goes on answering"

    @rule(model=models, version=versions | st.just("latest") | st.none())
    def acquire(self, model: str, version: str | None) -> None:
        try:
            servable = self.world.catalog.resolve(model, version)
        except RequestError:
            return
        assert servable.state is State.READY
        servable.acquire()
        self.leases[servable] += 1

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        held = sorted((servable for servable in self.leases.elements()), key=lambda servable: str(servable.ref))
        if not held:
            return
        servable = data.draw(st.sampled_from(held))

        async def end() -> None:
            servable.release()

        self.leases[servable] -= 1
        self.do(end())

    @invariant()
    def nothing_leased_is_closed_and_everything_let_go_is(self) -> None:
        answering = set(self.world.catalog.servables)
        for servable in self.seen:
            model, executor = servable.model, servable.executor
            assert isinstance(model, FakeModel)
            assert isinstance(executor, FakeExecutor)
            let_go = servable not in answering and not self.leases[servable]
            assert servable.leases == self.leases[servable]
            assert (model.closed, executor.closed) == ((1, 1) if let_go else (0, 0))
            assert (servable.state is State.RETIRED) == let_go

    @invariant()
    def only_what_is_ready_answers(self) -> None:
        for entry in self.world.catalog.entries:
            assert (entry.servable is not None) == (entry.state is State.READY)
            assert entry.state in (State.READY, State.FAILED)
            assert entry.state is State.READY or entry.reason is not None

    @invariant()
    def nothing_loaded_is_forgotten(self) -> None:
        known = {id(servable.model) for servable in self.seen}
        assert all(model.closed == 1 for model in self.world.runtime.loaded if id(model) not in known)

    def teardown(self) -> None:
        for servable, count in self.leases.items():
            for _ in range(count):

                async def end(servable: Servable = servable) -> None:
                    servable.release()

                self.runner.run(end())
        self.runner.run(self.world.reconciler.close())
        assert all(model.closed == 1 for model in self.world.runtime.loaded)
        self.runner.close()


ANY = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("runs", "steps"),
    [(60, 30), pytest.param(2000, 50, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])],
)
def test_it_holds_in_many_runs_of_many_steps(runs: int, steps: int, report: Report) -> None:
    run_state_machine_as_test(Lifecycle, settings=settings(ANY, max_examples=runs, stateful_step_count=steps))
    report(
        "Versions come, break, change and go in any order: none leased is closed, none let go stays open",
        runs=runs,
        steps_each=steps,
    )
