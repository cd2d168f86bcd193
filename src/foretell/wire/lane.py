"""The lane: plain single predictions, answered below ASGI.

A *door* is one exact path and the version behind it. The lane answers successes only. Whatever is unusual or wrong
goes, with the same bytes, arrival time and request id, the ordinary way, which alone explains and refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foretell.core.ids import Ids
from foretell.core.limits import MAX_QUEUE_S
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.servable import Servable
from foretell.security.gate import Gate
from foretell.telemetry.observer import Observer, Outcome
from foretell.wire.door import JSON, Door
from foretell.wire.remembering import RememberingDoor
from foretell.wire.writer import writable

LANE_BODY_BYTES = 64 * 1024


class Lane:
    """All doors of one process. ``refresh`` follows the catalog; ``doors`` is what connections look paths up in."""

    def __init__(
        self,
        paths: Callable[[Catalog], Mapping[bytes, tuple[Servable, str]]],
        observer: Observer,
        ids: Ids,
        gate: Gate,
        *,
        timeout_s: float,
        max_body_bytes: int,
        max_queue_s: float = MAX_QUEUE_S,
    ) -> None:
        self._paths = paths
        self._observer = observer
        self.ids = ids
        self.gate = gate
        self.timeout_s = timeout_s
        self.max_queue_s = max_queue_s
        self.max_body_bytes = min(max_body_bytes, LANE_BODY_BYTES)
        self.doors: dict[bytes, Door] = {}
        self.closed = False

    def refresh(self, catalog: Catalog) -> None:
        """Opens a door for every path of a version that the lane can answer; the old doors finish what they hold."""
        doors: dict[bytes, Door] = {}
        for path, (servable, route) in self._paths(catalog).items():
            if JSON in servable.decoders and writable(servable.signature.output):
                doors[path] = self._door(servable, route)
        self.doors = doors
        if self.closed:  # asked afterwards: a signal handler may close at any time
            self.doors = {}

    def _door(self, servable: Servable, route: str) -> Door:
        if servable.cache is None:
            return Door(servable, route, self)
        return RememberingDoor(servable, route, self, servable.cache)

    def close(self) -> None:
        """Sends everything the ordinary way from here on: the server is draining."""
        self.closed = True
        self.doors = {}

    def report(self, shared: Outcome, answered: list[tuple[str, float]]) -> None:
        """Hands the requests of one batch to the observer."""
        self._observer.answered(shared, answered)
