"""The remembered answers of one version: in this process, and in a store that others share where there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from foretell.caching.base import Answered, Remote, RemoteFailed
from foretell.caching.keys import Keys
from foretell.caching.memory import Shelf
from foretell.caching.packing import pack, unpack
from foretell.caching.policy import Terms
from foretell.caching.seal import Seal
from foretell.caching.single_flight import SingleFlight
from foretell.core.signature import Output
from foretell.core.values import Inputs, Outputs, first_not_finite

Ran = TypeVar("Ran")


@dataclass(slots=True)
class Counts:
    """Since the version was loaded, in this process.

    hits      answers without a model call of their own; ``shared`` of them waited for an equal request's
    misses    answers with one
    errors    questions the shared store did not answer in time, and answers that could not be kept
    rejected  values of the shared store that were not believed
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    errors: int = 0
    rejected: int = 0


class Answers:
    """An ``AnswerCache``. A request is remembered as a whole: all its rows under one key."""

    def __init__(
        self,
        *,
        keys: Keys,
        shelf: Shelf,
        terms: Terms,
        output: Output,
        max_entry_bytes: int,
        remote: Remote | None,
        seal: Seal,
        clock: Callable[[], float],
    ) -> None:
        self.counts = Counts()
        self._keys = keys
        self._shelf = shelf
        self._terms = terms
        self._output = output
        self._max_entry_bytes = max_entry_bytes
        self._remote = remote
        self._seal = seal
        self._clock = clock
        self._flights: SingleFlight[tuple[Outputs, Any]] = SingleFlight()

    async def answer(
        self, inputs: Inputs, deadline_s: float, compute: Callable[[], Awaitable[tuple[Outputs, Ran]]]
    ) -> Answered[Ran]:
        try:
            key = self._keys.key(inputs)
        except TypeError:  # inputs nobody can name: answered, never remembered
            self.counts.errors += 1
            (outputs, ran), _ = await self._flights.share(object(), deadline_s, compute)
            return self._answered(outputs, ran)
        payload = self._shelf.get(key)
        if payload is not None:
            return self._answered(unpack(payload, self._output, inputs.count), None)
        count = inputs.count
        (outputs, ran), began = await self._flights.share(key, deadline_s, lambda: self._found(key, count, compute))
        if not began:
            self.counts.shared += 1
        return self._answered(outputs, ran if began else None)

    def to_document(self) -> Mapping[str, Any]:
        remote = self._remote
        return {
            **asdict(self.counts),
            "entries": len(self._shelf),
            "bytes": self._shelf.bytes,
            "max_bytes": self._shelf.max_bytes,
            "ttl_s": self._terms.ttl_s,
            "shared_store": None if remote is None else {"name": remote.name, "available": remote.available},
        }

    def close(self) -> None:
        self._shelf.close()

    def _answered(self, outputs: Outputs, ran: Ran | None) -> Answered[Ran]:
        if ran is None:
            self.counts.hits += 1
        else:
            self.counts.misses += 1
        return Answered(outputs, ran)

    async def _found(
        self, key: bytes, count: int, compute: Callable[[], Awaitable[tuple[Outputs, Ran]]]
    ) -> tuple[Outputs, Ran | None]:
        """What the shared store has, else what the model gives, which is kept then."""
        if self._remote is not None and self._remote.available:
            found = await self._fetched(key, count, self._remote)
            if found is not None:
                return found, None
        outputs, ran = await compute()
        self._keep(key, outputs)
        return outputs, ran

    async def _fetched(self, key: bytes, count: int, remote: Remote) -> Outputs | None:
        try:
            sealed = await remote.get(key)
        except RemoteFailed:
            self.counts.errors += 1
            return None
        if sealed is None:
            return None
        try:
            payload, until_s = self._seal.open(key, sealed)
            outputs = unpack(payload, self._output, count)
        except ValueError:
            self.counts.rejected += 1
            return None
        # the clocks of two machines may differ: never longer than our own terms
        left_s = min(until_s - self._clock(), self._terms.ttl_s)
        if left_s <= 0:
            return None
        self._shelf.put(key, payload, left_s)
        return outputs

    def _keep(self, key: bytes, outputs: Outputs) -> None:
        if outputs.output != self._output or first_not_finite(outputs) is not None:
            return  # a failure of the model's, which whoever answers will tell
        payload = pack(outputs)
        if payload is None or len(payload) > self._max_entry_bytes:
            self.counts.errors += 1
            return
        self._shelf.put(key, payload, self._terms.ttl_s)
        if self._remote is not None and self._remote.available:
            sealed = self._seal.close(key, payload, self._clock() + self._terms.ttl_s)
            if not self._remote.put(key, sealed, self._terms.ttl_s):
                self.counts.errors += 1
