"""A door of the lane: one exact path, and the version behind it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from foretell.core.access.decision import Action
from foretell.core.access.principal import Principal
from foretell.core.values import Outputs
from foretell.execution.base import Run
from foretell.lifecycle.servable import Servable
from foretell.telemetry.observer import Outcome
from foretell.wire.cycle import LaneCycle
from foretell.wire.writer import SingleWriter

if TYPE_CHECKING:
    from foretell.wire.lane import Lane

JSON = "application/json"
Told = tuple[str, float, Principal]
"""A request that was answered: its id, how many milliseconds it took, and whose it was."""


class Door:
    """One path and the version behind it. ``cycle`` is what its requests become."""

    cycle: type[LaneCycle] = LaneCycle
    __slots__ = (
        "_answered",
        "_lane",
        "_route",
        "_run",
        "_writer",
        "action",
        "decode",
        "ids",
        "limiter",
        "max_queue_s",
        "servable",
        "submit",
        "timeout_s",
    )

    def __init__(self, servable: Servable, route: str, lane: Lane) -> None:
        self.servable = servable
        self.decode = servable.decoders[JSON].single
        self.submit = servable.executor.submit
        self.limiter = lane.gate.limiter
        self.action = Action("predict", servable.ref.model)
        self.ids = lane.ids
        self.timeout_s = lane.timeout_s
        self.max_queue_s = lane.max_queue_s
        self._route = route
        self._lane = lane
        self._writer = SingleWriter(servable.ref, servable.signature.output)
        self._run: Run | None = None
        self._answered: list[Told] = []

    def answer(self, cycle: LaneCycle, outputs: Outputs, row: int, run: Run) -> tuple[bytes, bytes] | None:
        """The request id and the body for one row of a batch; None where the row cannot be written."""
        if run is not self._run:
            self._begin(outputs, run, cycle)
        prediction_id = self.ids.next()
        body = self._writer.body(row, prediction_id.encode())
        if body is None:
            return None
        request_id = cycle.request_id or prediction_id
        self._answered.append((request_id, (time.perf_counter() - cycle.started_s) * 1e3, cycle.principal))
        return request_id.encode(), body

    def _begin(self, outputs: Outputs, run: Run, cycle: LaneCycle) -> None:
        self._run = None  # where the writer refuses the batch, its next row must not find the rows of the one before
        self._writer.begin(outputs, run)
        self._run = run
        answered: list[Told] = []
        self._answered = answered
        cycle.protocol.loop.call_soon(self._report, run, answered)

    def _report(self, run: Run | None, answered: list[Told]) -> None:
        """Counts and tells of requests answered alike; no ``run`` was made for what was remembered."""
        if not answered:
            return
        served = self.servable.served
        served.lane += len(answered)
        served.rows += len(answered)
        ref = self.servable.ref
        for principal, requests in _by_principal(answered):
            shared = Outcome(
                request_id="",
                method="POST",
                route=self._route,
                status=200,
                model=ref.model,
                version=ref.version,
                rows=1,
                batch_rows=0 if run is None else run.rows,
                inference_ms=None if run is None else run.duration_s * 1e3,
                lane=True,
                principal=principal,
            )
            self._lane.report(shared, requests)

    def left(self, cycle: LaneCycle) -> None:
        """The caller went away before its answer."""
        ref = self.servable.ref
        duration_ms = (time.perf_counter() - cycle.started_s) * 1e3
        shared = Outcome(
            request_id="",
            method="POST",
            route=self._route,
            status=499,
            outcome="disconnected",
            code="client_disconnected",
            model=ref.model,
            version=ref.version,
            rows=1,
            lane=True,
            principal=cycle.principal,
        )
        self._lane.report(shared, [(cycle.request_id or self.ids.next(), duration_ms)])


def _by_principal(answered: list[Told]) -> Iterable[tuple[Principal, list[tuple[str, float]]]]:
    """The requests of each caller. By identity, for a principal is made once and hashing all it holds takes long."""
    groups: dict[int, tuple[Principal, list[tuple[str, float]]]] = {}
    for request_id, duration_ms, principal in answered:
        group = groups.get(id(principal))
        if group is None:
            group = groups[id(principal)] = principal, []
        group[1].append((request_id, duration_ms))
    return groups.values()
