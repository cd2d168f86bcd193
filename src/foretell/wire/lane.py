"""The lane: plain single predictions, answered below ASGI.

A *door* is one exact path and the version behind it. The lane answers successes only. Whatever is unusual or wrong
goes, with the same bytes, arrival time and request id, the ordinary way, which alone explains and refuses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from foretell.core.ids import Ids
from foretell.core.limits import MAX_QUEUE_S
from foretell.core.values import Outputs
from foretell.execution.base import Run
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.servable import Servable
from foretell.telemetry.observer import Observer, Outcome
from foretell.wire.writer import SingleWriter, writable

if TYPE_CHECKING:
    from foretell.wire.cycle import LaneCycle

JSON = "application/json"
LANE_BODY_BYTES = 64 * 1024


class Lane:
    """All doors of one process. ``refresh`` follows the catalog; ``doors`` is what connections look paths up in."""

    def __init__(
        self,
        paths: Callable[[Catalog], Mapping[bytes, tuple[Servable, str]]],
        observer: Observer,
        ids: Ids,
        timeout_s: float,
        max_body_bytes: int,
        *,
        max_queue_s: float = MAX_QUEUE_S,
    ) -> None:
        self._paths = paths
        self._observer = observer
        self.ids = ids
        self.timeout_s = timeout_s
        self.max_queue_s = max_queue_s
        self.max_body_bytes = min(max_body_bytes, LANE_BODY_BYTES)
        self.doors: dict[bytes, Door] = {}
        self.closed = False

    def refresh(self, catalog: Catalog) -> None:
        """Opens a door for every path of a version that the lane can answer; the old doors finish what they hold.

        Versions whose answers are remembered have none: the service looks there first.
        """
        doors: dict[bytes, Door] = {}
        for path, (servable, route) in self._paths(catalog).items():
            if servable.cache is None and JSON in servable.decoders and writable(servable.signature.output):
                doors[path] = Door(servable, route, self)
        self.doors = doors
        if self.closed:  # asked afterwards: a signal handler may close at any time
            self.doors = {}

    def close(self) -> None:
        """Sends everything the ordinary way from here on: the server is draining."""
        self.closed = True
        self.doors = {}

    def report(self, shared: Outcome, answered: list[tuple[str, float]]) -> None:
        """Hands the requests of one batch to the observer."""
        self._observer.answered(shared, answered)


class Door:
    """One path and the version behind it."""

    __slots__ = (
        "_answered",
        "_lane",
        "_route",
        "_run",
        "_writer",
        "decode",
        "ids",
        "max_queue_s",
        "servable",
        "submit",
        "timeout_s",
    )

    def __init__(self, servable: Servable, route: str, lane: Lane) -> None:
        self.servable = servable
        self.decode = servable.decoders[JSON].single
        self.submit = servable.executor.submit
        self.ids = lane.ids
        self.timeout_s = lane.timeout_s
        self.max_queue_s = lane.max_queue_s
        self._route = route
        self._lane = lane
        self._writer = SingleWriter(servable.ref, servable.signature.output)
        self._run: Run | None = None
        self._answered: list[tuple[str, float]] = []

    def answer(self, cycle: LaneCycle, outputs: Outputs, row: int, run: Run) -> tuple[bytes, bytes] | None:
        """The request id and the body for one row of a batch; None where the row cannot be written."""
        if run is not self._run:
            self._begin(outputs, run, cycle)
        prediction_id = self.ids.next()
        body = self._writer.body(row, prediction_id.encode())
        if body is None:
            return None
        request_id = cycle.request_id or prediction_id
        self._answered.append((request_id, (time.perf_counter() - cycle.started_s) * 1e3))
        return request_id.encode(), body

    def _begin(self, outputs: Outputs, run: Run, cycle: LaneCycle) -> None:
        self._run = None  # where the writer refuses the batch, its next row must not find the rows of the one before
        self._writer.begin(outputs, run)
        self._run = run
        answered: list[tuple[str, float]] = []
        self._answered = answered
        cycle.protocol.loop.call_soon(self._report, run, answered)

    def _report(self, run: Run, answered: list[tuple[str, float]]) -> None:
        if not answered:
            return
        served = self.servable.served
        served.lane += len(answered)
        served.rows += len(answered)
        ref = self.servable.ref
        shared = Outcome(
            request_id="",
            method="POST",
            route=self._route,
            status=200,
            model=ref.model,
            version=ref.version,
            rows=1,
            batch_rows=run.rows,
            inference_ms=run.duration_s * 1e3,
            lane=True,
        )
        self._lane.report(shared, answered)

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
        )
        self._lane.report(shared, [(cycle.request_id or self.ids.next(), duration_ms)])
