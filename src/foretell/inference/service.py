"""The inference service: resolve a version, read and validate the rows, run them within the deadline."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from foretell.codecs.base import Codec
from foretell.codecs.stream.base import Answered, Chunk
from foretell.core.limits import MAX_QUEUE_S, BodyLimits
from foretell.core.validation import bind
from foretell.core.values import Inputs, Outputs, Row, first_not_finite
from foretell.errors import DeadlineExceeded, Draining, MalformedRequest, ModelFailed, QueueFull, RequestError
from foretell.execution.base import Run
from foretell.inference.calls import NO_RUN, remembered, submit
from foretell.inference.reading.reader import Opened, Reader
from foretell.inference.stream import StreamRun
from foretell.lifecycle.catalog import Catalog, CatalogHolder
from foretell.lifecycle.servable import Servable
from foretell.security.gate import Admission

EXTREME = 1e30
"""Numbers beyond this overflow in a model's 32-bit arithmetic sooner or later."""
SHARES = 4
"""How many callers at least find room for streams, whatever each of them does."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for predictions, as a door hands it on.

    ``model`` and ``version`` come from the path (None: the default model, the newest ready version); a version in the
    body is found here. ``parameters`` are those of the content type. ``deadline_s`` is on ``time.monotonic``'s clock.
    ``late``: it came when the server was stopping already, and is new work; what came before that is still answered.
    ``admission``: how the gate let the caller in; without one it sees all models and nothing is charged.
    """

    model: str | None
    version: str | None
    body: bytes
    codec: Codec
    many: bool
    deadline_s: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    late: bool = False
    admission: Admission | None = None

    @property
    def tenant(self) -> str:
        """Whose answers may be shared with this caller."""
        return "" if self.admission is None else self.admission.principal.tenant


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer: exactly the request's rows, the version that gave them, and the batch they ran in.

    ``cache`` says whether the answer was remembered (no batch ran for it) or not; None where the version has no cache.
    """

    servable: Servable
    outputs: Outputs
    single: bool
    run: Run
    cache: Literal["hit", "miss"] | None = None


class InferenceService:
    """Answers asks. All methods are called from the event loop's thread. ``draining``: what comes now is late.

    ``max_queue_s`` is the longest a request may have to wait for its turn.
    """

    def __init__(
        self, catalogs: CatalogHolder, limits: BodyLimits, max_queue_s: float = MAX_QUEUE_S, max_streams: int = 64
    ) -> None:
        self._catalogs = catalogs
        self._limits = limits
        self._max_queue_s = max_queue_s
        self._max_streams = max_streams
        self._streams: Counter[str | None] = Counter()
        self._reader = Reader(limits)
        self.draining = False

    @property
    def catalog(self) -> Catalog:
        """The versions as they stand now."""
        return self._catalogs.current

    def catalog_for(self, ask: Ask) -> Catalog:
        """The versions as they stand now, as far as whoever asks may see them."""
        catalog = self._catalogs.current
        return catalog if ask.admission is None else catalog.visible(ask.admission.principal.models)

    async def predict(self, ask: Ask) -> Prediction:
        """Predictions for the rows of ``ask``. Raises a RequestError, and nothing else but cancellation."""
        if ask.late:
            raise Draining("The server is stopping and takes no new work. Another instance will answer; try again.")
        if self._reader.small(ask):
            return await self._run(ask, *self._read(ask))
        return await self._predict_large(ask)

    @asynccontextmanager
    async def opened(self, ask: Ask) -> AsyncIterator[Opened]:
        """The body of ``ask``, within its deadline, to say what is wrong with it. Raises a RequestError."""
        try:
            async with asyncio.timeout(max(0.0, ask.deadline_s - time.monotonic())), self._reader.opened(ask) as opened:
                yield opened
        except TimeoutError:
            raise _not_read_in_time() from None

    def close(self) -> None:
        """Ends what reads bodies beside the loop."""
        self._reader.close()

    async def _predict_large(self, ask: Ask) -> Prediction:
        """As ``predict``, for a body that would hold the loop while it is read."""
        async with AsyncExitStack() as leases:
            servable = self._leased(leases, self.catalog_for(ask).resolve(ask.model, ask.version))
            try:
                async with asyncio.timeout(max(0.0, ask.deadline_s - time.monotonic())):
                    decoders = servable.decoders.get(ask.codec.media_type)
                    read = await self._reader.plainly(decoders, ask, servable.signature, str(servable.ref))
            except TimeoutError:
                raise _not_read_in_time() from None
            if read is None:
                async with self.opened(ask) as opened:
                    meant = _named_in_body(self.catalog_for(ask), servable, opened.model_version, ask)
                    servable = self._leased(leases, meant)
                    bound = await opened.bind(servable.signature, self._limits, str(servable.ref))
                read = bound, bound.count
            return await self._run(ask, servable, *read)

    @staticmethod
    def _leased(leases: AsyncExitStack, servable: Servable) -> Servable:
        servable.acquire()
        leases.callback(servable.release)
        return servable

    async def _run(self, ask: Ask, servable: Servable, rows: Sequence[Row] | Inputs, count: int) -> Prediction:
        cached: Literal["hit", "miss"] | None = None
        if ask.admission is not None:
            await ask.admission.charge_rows(count)
        servable.acquire()
        try:
            if servable.cache is None:
                waiting = submit(servable.executor, rows, count, ask.deadline_s, self._max_queue_s)
                outputs, run = await waiting.answer(ask.deadline_s)
            else:
                answered = await remembered(
                    servable.cache,
                    servable.executor,
                    rows,
                    count,
                    deadline_s=ask.deadline_s,
                    max_queue_s=self._max_queue_s,
                    tenant=ask.tenant,
                )
                outputs, run = answered.outputs, answered.ran or NO_RUN
                cached = "hit" if answered.hit else "miss"
        except RequestError:
            raise
        except Exception as error:
            await self._refuse_extremes(ask, servable)
            raise _failed(servable, "failed on this input") from error
        finally:
            servable.release()
        row = first_not_finite(outputs)
        if row is not None:
            await self._refuse_extremes(ask, servable)
            raise _failed(servable, f"gave NaN or infinity for row {row}", "model_gave_no_number")
        servable.served.ordinary += 1
        servable.served.rows += count
        return Prediction(servable, outputs, not ask.many, run, cached)

    @contextmanager
    def stream_lease(self, servable: Servable, caller: str | None = None) -> Iterator[None]:
        """Leases a version that answers a stream for as long as the block lasts.

        Nobody holds more than one part in ``SHARES`` of all streams; ``caller`` None: nobody in particular. Raises
        QueueFull where as many streams as may are open, and Draining.
        """
        if self.draining:
            raise Draining("The server is stopping and takes no new work. Another instance will answer; try again.")
        if self._streams.total() >= self._max_streams:
            raise QueueFull(f"{self._streams.total()} streams are open, and no more may be (limits.max_streams).")
        if caller is not None and self._streams[caller] >= max(1, self._max_streams // SHARES):
            raise QueueFull(
                f"{self._streams[caller]} streams of this caller are open, and one caller may hold no more: "
                f"one in {SHARES} of all there may be (limits.max_streams)."
            )
        servable.acquire()
        self._streams[caller] += 1
        try:
            yield
            servable.served.ordinary += 1
        finally:
            self._streams -= Counter([caller])  # leaves nothing of who holds none
            servable.release()

    def predict_stream(
        self, servable: Servable, chunks: AsyncIterator[Chunk], call_s: float
    ) -> AsyncGenerator[Answered, None]:
        """The chunks of one stream with their answers, in order; see ``StreamRun``. The caller holds a stream lease.

        Every chunk goes to the executor as a call of its own, so that other requests get their turns between.
        """
        return StreamRun(servable, call_s).answers(chunks)

    async def _refuse_extremes(self, ask: Ask, servable: Servable) -> None:
        """Where a model has failed: raises InvalidInput if the rows hold numbers beyond what models compute in.

        Most compute in 32 bits, or square and sum in 64; none of that is known before a model has tried. So such
        numbers are welcome where the model copes with them, and the caller's fault where it does not.
        """
        async with self.opened(ask) as opened:
            await opened.bind(servable.signature, replace(self._limits, max_magnitude=EXTREME), str(servable.ref))

    def _read(self, ask: Ask) -> tuple[Servable, Sequence[Row] | Inputs, int]:
        catalog = self.catalog_for(ask)
        servable = catalog.resolve(ask.model, ask.version)
        plain = self._reader.at_once(servable.decoders.get(ask.codec.media_type), ask)
        if plain is not None:
            return servable, *plain
        document = ask.codec.parse(ask.body, ask.many, self._limits, ask.parameters)
        servable = _named_in_body(catalog, servable, document.model_version, ask)
        bound = bind(document, servable.signature, self._limits, str(servable.ref))
        return servable, bound, bound.count


def _not_read_in_time() -> DeadlineExceeded:
    return DeadlineExceeded("The time allowed for this request passed before its body was read.")


def _failed(servable: Servable, how: str, code: str | None = None) -> ModelFailed:
    return ModelFailed(
        f"Model {servable.ref} {how}. The input is valid; the failure is the model's. "
        "The server's log holds the cause under this request's id.",
        code=code,
    )


def _named_in_body(catalog: Catalog, servable: Servable, version: str | None, ask: Ask) -> Servable:
    """The version meant when the body may name one.

    Raises UnknownVersion, and MalformedRequest where path and body differ.
    """
    if version is None:
        return servable
    meant = catalog.resolve(servable.ref.model, version)
    if ask.version is not None and meant is not servable:
        raise MalformedRequest(
            f"The path asks for version {ask.version} and the body for version {version}. Name one.",
            code="version_conflict",
            title="Path and body name different versions",
        )
    return meant
