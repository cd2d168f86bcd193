"""Reads bodies, each in the way that its size and format ask for.

plain     the codec's fast way: at once where the body is small, else in slices with turns for others between them
here      the explaining way, on the loop: for small bodies
threaded  on a thread: for formats that say so (``Codec.off_loop_bytes``), whose libraries let go of the interpreter
aside     in a process of its own: for whatever else is large
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol

from foretell.codecs.base import Codec, Decoders
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.validation import bind
from foretell.core.values import Inputs, Row, join
from foretell.inference.reading.aside import Aside

SMALL_BYTES = 64 * 1024
"""Up to here the explaining way takes at most a few milliseconds, whatever stands in the body."""

AT_ONCE_BYTES = 128 * 1024
"""Up to here the fast way does."""

TURN_S = 0.002
READING_AT_ONCE = 4
"""Bodies read on threads at a time: no queue counts their rows yet, so it is this that bounds their memory."""


class Body(Protocol):
    """What of a request is read: see ``inference.service.Ask``."""

    @property
    def body(self) -> bytes: ...

    @property
    def codec(self) -> Codec: ...

    @property
    def many(self) -> bool: ...

    @property
    def parameters(self) -> Mapping[str, str]: ...


class Opened(Protocol):
    """A body that has been parsed, and names the version it is for where it does."""

    model_version: str | None

    async def bind(self, signature: Signature, limits: BodyLimits, label: str) -> Inputs:
        """The rows as inputs; raises as ``core.validation.bind``."""
        ...


class Reader:
    """Reads the bodies of one server process."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._aside = Aside()
        self._threads = ThreadPoolExecutor(READING_AT_ONCE, thread_name_prefix="read-body")

    def close(self) -> None:
        """Ends what runs beside the loop; what it was reading is lost."""
        self._aside.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def small(body: Body) -> bool:
        """Whether both ways are over within a few milliseconds, so that ``at_once`` and ``parse`` will do."""
        return len(body.body) <= (SMALL_BYTES if body.codec.off_loop_bytes is None else body.codec.off_loop_bytes - 1)

    @staticmethod
    def at_once(decoders: Decoders | None, body: Body) -> tuple[Sequence[Row] | Inputs, int] | None:
        """The rows by the fast way, and how many; None where the body is not plain."""
        if decoders is None:
            return None
        if body.many:
            inputs = decoders.batch(body.body)
            return None if inputs is None else (inputs, inputs.count)
        row = decoders.single(body.body)
        return None if row is None else ([row], 1)

    async def plainly(
        self, decoders: Decoders | None, body: Body, signature: Signature, label: str
    ) -> tuple[Sequence[Row] | Inputs, int] | None:
        """As ``at_once``, for bodies of any size.

        What is read on threads is read to its end there, and raises as ``opened`` and ``Opened.bind``: one way to a
        thread and back is enough, and no such format names a version.
        """
        if self._threaded(body):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._bound, decoders, body, signature, label)
        if decoders is None or decoders.slices is None or not body.many or len(body.body) <= AT_ONCE_BYTES:
            return self.at_once(decoders, body)
        parts: list[Inputs] = []
        turn_s = time.perf_counter()
        for part in decoders.slices(body.body):
            if part is None:
                return None
            parts.append(part)
            if time.perf_counter() - turn_s > TURN_S:
                await asyncio.sleep(0)
                turn_s = time.perf_counter()
        inputs = join(parts)
        return inputs, inputs.count

    def _bound(
        self, decoders: Decoders | None, body: Body, signature: Signature, label: str
    ) -> tuple[Sequence[Row] | Inputs, int]:
        """The rows by either way, on the thread that calls."""
        read = self.at_once(decoders, body)
        if read is None:
            document = body.codec.parse(body.body, body.many, self._limits, body.parameters)
            inputs = bind(document, signature, self._limits, label)
            read = inputs, inputs.count
        return read

    @asynccontextmanager
    async def opened(self, body: Body) -> AsyncIterator[Opened]:
        """The body by the explaining way. Raises as ``Codec.parse``, QueueFull, or Unavailable."""
        limits = self._limits
        if self.small(body):
            yield _Here(body.codec.parse(body.body, body.many, limits, body.parameters))
        elif self._threaded(body):
            parse = body.codec.parse
            loop = asyncio.get_running_loop()
            document = await loop.run_in_executor(self._threads, parse, body.body, body.many, limits, body.parameters)
            yield _Threaded(document, self._threads)
        else:
            async with self._aside.opened(body.codec, body.body, body.many, limits, body.parameters) as opened:
                yield opened

    def _threaded(self, body: Body) -> bool:
        return body.codec.off_loop_bytes is not None and len(body.body) >= body.codec.off_loop_bytes


class _Here:
    """A small body."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.model_version = document.model_version

    async def bind(self, signature: Signature, limits: BodyLimits, label: str) -> Inputs:
        return bind(self._document, signature, limits, label)


class _Threaded:
    """A body whose format is read on threads."""

    def __init__(self, document: Document, threads: ThreadPoolExecutor) -> None:
        self._document = document
        self._threads = threads
        self.model_version = document.model_version

    async def bind(self, signature: Signature, limits: BodyLimits, label: str) -> Inputs:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, bind, self._document, signature, limits, label)
