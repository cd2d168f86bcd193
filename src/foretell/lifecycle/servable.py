"""A version that can answer: what was loaded, how it runs, and who still needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from foretell.caching.base import AnswerCache
from foretell.codecs.base import Decoders
from foretell.core.identity import Ref
from foretell.core.manifest import Manifest
from foretell.core.signature import Signature
from foretell.errors import NotReady
from foretell.execution.base import Executor
from foretell.lifecycle.states import Event, State, advance
from foretell.runtimes.base import Model

_log = structlog.get_logger("foretell.lifecycle")


class Costs(Protocol):
    """What a version costs, as measured at warm-up."""

    def to_document(self) -> Mapping[str, Any]:
        """Plain values for ``/models/{model}``."""
        ...


@dataclass(slots=True)
class Served:
    """Answers given since the version was loaded: by the lane, by the ordinary way, and rows in all of them."""

    lane: int = 0
    ordinary: int = 0
    rows: int = 0


@dataclass(slots=True, eq=False)
class Servable:
    """One loaded, verified and warmed version.

    Everything but leases, counts and state stays as it was made. ``digest`` is the version's (see
    ``foretell.core.manifest.digest``); ``example`` is one row as a caller would send it in ``features``, or None where
    none could be made; ``decoders`` are the fast ways of the codecs that have one, by media type; ``threads`` of
    native libraries were set when the model was loaded; ``cache`` remembers its answers, where it has
    one. ``stamp`` and ``load_s`` are the source's and the loader's.

    Whoever predicts holds a *lease* from before ``executor.submit`` until the answer: after ``retire`` the executor and
    the model are closed when the last lease has ended, never before. All methods are called from the event loop's
    thread; ``acquire`` in the same turn as ``Catalog.resolve``.
    """

    ref: Ref
    runtime: str
    signature: Signature
    model: Model
    executor: Executor
    costs: Costs
    digest: str
    model_type: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    decoders: Mapping[str, Decoders] = field(default_factory=dict)
    cache: AnswerCache | None = None
    example: Any = None
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    stamp: str = ""
    load_s: float = 0.0
    served: Served = field(default_factory=Served)
    state: State = State.READY
    _leases: int = 0
    _closing: asyncio.Task[None] | None = None
    _gone: asyncio.Event | None = None

    @property
    def created_at(self) -> datetime | None:
        """When it was packaged; None without a manifest."""
        return self.manifest.created_at if self.manifest else None

    @property
    def libraries(self) -> Mapping[str, str]:
        """Versions of the libraries at training time, by distribution name."""
        return self.manifest.libraries if self.manifest else {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the author wrote down."""
        return self.manifest.metadata if self.manifest else {}

    @property
    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        """Reference statistics of the training data, by column."""
        return self.manifest.statistics if self.manifest else {}

    @property
    def leases(self) -> int:
        """How many predictions are on their way."""
        return self._leases

    def acquire(self) -> None:
        """Takes a lease. Raises NotReady where everything has been given back already."""
        if self._closing is not None:
            raise NotReady(f"Model {self.ref} has just been retired. Ask again: another version answers.")
        self._leases += 1

    def release(self) -> None:
        """Ends a lease."""
        if self._leases <= 0:
            raise RuntimeError(f"{self.ref} has no lease to end")
        self._leases -= 1
        if not self._leases and self.state is State.RETIRING:
            self._close_soon()

    def retire(self) -> None:
        """Lets the version go: it is closed when its last lease has ended. Once only."""
        self.state = advance(self.state, Event.RETIRE)
        self._gone = asyncio.Event()
        if not self._leases:
            self._close_soon()

    async def closed(self) -> None:
        """Waits until a retired version has given all back, its last lease ended. Returns at once otherwise."""
        if self._gone is not None:
            await self._gone.wait()

    def _close_soon(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._close(), name=f"close {self.ref}")

    async def _close(self) -> None:
        """Forgets its answers, closes the executor, then the model.

        A model that fails to close is reported and is gone all the same.
        """
        if self.cache is not None:
            self.cache.close()
        try:
            await self.executor.close()
            await asyncio.to_thread(self.model.close)
        except Exception as error:
            _log.warning(
                "model_close_failed", model=self.ref.model, version=self.ref.version, error=type(error).__name__
            )
        self.state = advance(self.state, Event.CLOSED)
        if self._gone is not None:
            self._gone.set()
        _log.info("model_retired", model=self.ref.model, version=self.ref.version)
