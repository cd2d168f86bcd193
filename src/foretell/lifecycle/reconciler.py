"""Brings the catalog in line with what the source holds: at start, and at each rescan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from foretell.core.identity import Ref
from foretell.errors import ArtifactError, ForetellError
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry, Reason
from foretell.lifecycle.changes import changes, last_resorts
from foretell.lifecycle.loader import Loader, describe
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import Event, State, advance
from foretell.sources.base import Found, Source

_log = structlog.get_logger("foretell.lifecycle")

CHANGED = "version_changed"
GONE = "version_gone"


class Reconciler:
    """The only writer of the catalog. All methods are called from the event loop's thread.

    Each version becomes visible by itself, as soon as it is ready; versions whose folders are gone retire after that,
    each when its last lease has ended. What fails is shown with its reason, replaces nothing, and is tried again at the
    next rescan only. ``concurrency`` is how many versions load at a time: more than one disturb each other's measuring.
    """

    def __init__(self, source: Source, loader: Loader, holder: CatalogHolder, *, concurrency: int = 1) -> None:
        self._source = source
        self._loader = loader
        self._holder = holder
        self._slots = asyncio.Semaphore(concurrency)
        self._running: asyncio.Task[None] | None = None
        self._queued: asyncio.Task[None] | None = None
        self._retiring: set[Servable] = set()

    @property
    def catalog(self) -> Catalog:
        """The versions as they stand now."""
        return self._holder.current

    async def start(self) -> Catalog:
        """Loads what there is. Raises OperatorError where the source cannot be read or the default model is not in it.

        Versions that cannot be served do not raise: they stand in the catalog with their reasons.
        """
        await self._reconcile(starting=True)
        return self.catalog

    async def rescan(self) -> None:
        """Looks again. While a rescan runs, all who ask for another share exactly one, which starts when it has ended.

        Raises nothing: what is wrong is logged, and what answers goes on answering.
        """
        await asyncio.shield(self.request_rescan())

    def request_rescan(self) -> asyncio.Task[None]:
        """The same without waiting, for a signal handler."""
        if self._queued is not None and not self._queued.done():
            return self._queued  # also where the one before has just ended: two at a time would load everything twice
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._rescan(), name="rescan")
            return self._running
        self._queued = asyncio.create_task(self._rescan_after(self._running), name="rescan, queued")
        return self._queued

    async def close(self) -> None:
        """Retires every version and waits until all have given back what they hold, their last leases ended."""
        tasks = [task for task in (self._queued, self._running) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._retire([servable.ref for servable in self.catalog.servables])
        await asyncio.gather(*(servable.closed() for servable in self._retiring))

    async def _rescan_after(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait([running])
        self._running, self._queued = self._queued, None
        await self._rescan()

    async def _rescan(self) -> None:
        try:
            await self._reconcile(starting=False)
        except ForetellError as error:
            _log.error("rescan_failed", code=error.code, detail=error.detail)
        except Exception as error:
            _log.exception("rescan_failed", code="internal_error", detail=describe(error))

    async def _reconcile(self, starting: bool) -> None:
        started = time.perf_counter()
        scanned = await asyncio.to_thread(self._source.scan)
        found = {item.ref: item for item in scanned}
        plan = changes(self.catalog, found)
        self._publish({item.ref: self._entry(item.ref) for item in (*plan.load, *plan.faulty)})
        if starting:
            self.catalog.check_default()
        for item in plan.faulty:
            self._fail(item.ref, item.fault or ArtifactError("it cannot be served"))
        self._publish({ref: self._noted(ref, None) for ref in plan.untouched})
        for item in plan.touched:
            await self._look_again(item)
        await asyncio.gather(*(self._load(item) for item in plan.load))
        retired = self._let_go(plan.gone, found)
        self._log_done(started, found, retired)

    async def _load(self, item: Found) -> None:
        ref = item.ref
        async with self._slots:
            self._step(ref, Event.LOAD)
            try:
                servable = await self._loader.load(item, lambda: self._step(ref, Event.LOADED))
            except ArtifactError as error:
                self._fail(ref, error)
            except Exception as error:
                _log.exception("model_failed", model=ref.model, version=ref.version, code="internal_error")
                reason = Reason("internal_error", f"Foretell itself failed on it: {describe(error)}")
                self._publish({ref: replace(self._entry(ref), state=State.FAILED, reason=reason)})
            else:
                state = advance(self._entry(ref).state, Event.WARMED)
                self._publish({ref: Entry(ref, state, None, servable)})
                _log.info(
                    "model_ready",
                    model=ref.model,
                    version=ref.version,
                    runtime=servable.runtime,
                    mode=servable.executor.mode,
                    load_s=round(servable.load_s, 3),
                )

    async def _look_again(self, item: Found) -> None:
        """A folder that was touched under a version that answers: the same content, or a breach of immutability."""
        entry = self._entry(item.ref)
        servable = entry.servable
        if servable is None:
            return
        try:
            if item.fault is not None:
                raise item.fault
            same = item.manifest == servable.manifest and await self._loader.digest(item) == servable.digest
            why = "its folder holds other content now"
        except ArtifactError as error:
            same, why = False, f"its folder was damaged: {error.detail}"
        if same:
            servable.stamp = item.stamp
            self._publish({item.ref: self._noted(item.ref, None)})
            return
        detail = f"{why}. Versions are immutable: the one loaded before goes on answering. Add a new version instead."
        self._publish({item.ref: self._noted(item.ref, Reason(CHANGED, detail))})
        _log.warning(CHANGED, model=item.ref.model, version=item.ref.version, detail=detail)

    def _let_go(self, gone: Sequence[Ref], found: Mapping[Ref, Found]) -> int:
        kept = last_resorts(self.catalog, gone, found)
        for ref in kept:
            detail = "its folder is gone; it goes on answering because no other version of the model is ready"
            self._publish({ref: self._noted(ref, Reason(GONE, detail))})
            _log.warning(GONE, model=ref.model, version=ref.version, detail=detail)
        return self._retire([ref for ref in gone if ref not in kept])

    def _retire(self, refs: Sequence[Ref]) -> int:
        """Takes versions out of the catalog, and then lets them go: nobody can find what is closing."""
        entries = [self._entry(ref) for ref in refs]
        self._publish(dict.fromkeys(refs))
        self._retiring = {servable for servable in self._retiring if servable.state is State.RETIRING}
        for entry in entries:
            if entry.servable is not None:
                entry.servable.retire()
                self._retiring.add(entry.servable)
        return sum(entry.servable is not None for entry in entries)

    def _fail(self, ref: Ref, error: ArtifactError) -> None:
        state = advance(self._entry(ref).state, Event.FAIL)
        self._publish({ref: Entry(ref, state, Reason.of(error))})
        _log.error("model_failed", model=ref.model, version=ref.version, code=error.code, detail=error.detail)

    def _step(self, ref: Ref, event: Event) -> None:
        entry = self._entry(ref)
        self._publish({ref: replace(entry, state=advance(entry.state, event))})

    def _noted(self, ref: Ref, reason: Reason | None) -> Entry:
        return replace(self._entry(ref), reason=reason)

    def _entry(self, ref: Ref) -> Entry:
        return self.catalog.find(ref) or Entry(ref)

    def _publish(self, entries: Mapping[Ref, Entry | None]) -> None:
        changed = {ref: entry for ref, entry in entries.items() if self.catalog.find(ref) != entry}
        if changed:
            self._holder.swap(self.catalog.with_changes(changed))

    def _log_done(self, started: float, found: Mapping[Ref, Found], retired: int) -> None:
        states = [entry.state for entry in self.catalog.entries]
        _log.info(
            "rescan_done",
            found=len(found),
            ready=states.count(State.READY),
            failed=states.count(State.FAILED),
            retired=retired,
            duration_s=round(time.perf_counter() - started, 3),
        )
        if not found:
            _log.warning("no_models", detail="the source holds no version; put one there and send SIGHUP")
