"""The remembered answers of one version: in this process, and in a store that others share where there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from foretell.caching.base import Answered, Remote, RemoteFailed
from foretell.caching.keys import Keys
from foretell.caching.memory import Shelf
from foretell.caching.packing import pack, unpack
from foretell.caching.policy import Terms
from foretell.caching.row_keys import RowKeys
from foretell.caching.seal import Seal
from foretell.caching.single_flight import SingleFlight
from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Outputs, Row, Table, Tensors, assemble, first_not_finite

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


class _Flown(NamedTuple):
    """What a flight brings. ``ran`` is None where the shared store had it; ``sound`` says whether it is an answer."""

    outputs: Outputs
    ran: Any
    sound: bool


class Answers:
    """An ``AnswerCache``. A request is remembered as a whole: all its rows under one key."""

    def __init__(
        self,
        *,
        keys: Keys,
        shelf: Shelf,
        terms: Terms,
        signature: Signature,
        max_entry_bytes: int,
        remote: Remote | None,
        seal: Seal,
        clock: Callable[[], float],
    ) -> None:
        self.counts = Counts()
        self._keys = keys
        self._shelf = shelf
        self._terms = terms
        self._row_keys = RowKeys(keys, signature)
        self._signature = signature
        self._output = signature.output
        self._max_entry_bytes = max_entry_bytes
        self._remote = remote
        self._seal = seal
        self._clock = clock
        self._flights: SingleFlight[_Flown] = SingleFlight()

    def recalled(self, row: Row, write: Callable[[Outputs], bytes | None], tenant: str = "") -> bytes | None:
        key = self._key((row,), tenant)
        entry = None if key is None else self._shelf.find(key)
        if key is None or entry is None:
            return None
        written: bytes | None = entry.written
        if not written:
            written = write(unpack(entry.value, self._output, 1))
            if written is None:
                return None
            self._shelf.note(key, entry, written)
        self.counts.hits += 1
        return written

    async def answer(
        self,
        rows: Sequence[Row] | Inputs,
        deadline_s: float,
        compute: Callable[[], Awaitable[tuple[Outputs, Ran]]],
        tenant: str = "",
    ) -> Answered[Ran]:
        key = self._key(rows, tenant)
        if key is None:
            self.counts.errors += 1
            flown, _ = await self._flights.share(object(), deadline_s, lambda: self._computed(None, compute))
            return self._answered(flown, began=True)
        count = rows.count if isinstance(rows, Matrix | Table | Tensors) else len(rows)
        payload = self._shelf.get(key)
        if payload is not None:
            self.counts.hits += 1
            return Answered(unpack(payload, self._output, count), None)
        flown, began = await self._flights.share(key, deadline_s, lambda: self._found(key, count, compute))
        return self._answered(flown, began=began)

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

    def _key(self, rows: Sequence[Row] | Inputs, tenant: str) -> bytes | None:
        """What the rows are found by; None for what nobody can name: it is answered, and never remembered."""
        try:
            if isinstance(rows, Matrix | Table | Tensors):
                return self._keys.key(rows, tenant=tenant)
            if len(rows) == 1:
                return self._row_keys.key(rows[0], tenant)
            return self._keys.key(assemble(self._signature, rows), tenant=tenant)
        except TypeError:
            return None

    def _answered(self, flown: _Flown, *, began: bool) -> Answered[Any]:
        ran = flown.ran if began else None
        if flown.sound:
            self.counts.shared += not began
            self.counts.hits += ran is None
            self.counts.misses += ran is not None
        return Answered(flown.outputs, ran)

    async def _found(self, key: bytes, count: int, compute: Callable[[], Awaitable[tuple[Outputs, Any]]]) -> _Flown:
        """What the shared store has, else what the model gives, which is kept then."""
        if self._remote is not None and self._remote.available:
            found = await self._fetched(key, count, self._remote)
            if found is not None:
                return _Flown(found, None, True)
        return await self._computed(key, compute)

    async def _computed(self, key: bytes | None, compute: Callable[[], Awaitable[tuple[Outputs, Any]]]) -> _Flown:
        """What the model gives. Where it is no number, that is a failure, which whoever answers will tell."""
        outputs, ran = await compute()
        sound = first_not_finite(outputs) is None
        if sound and key is not None and outputs.output == self._output:
            self._keep(key, outputs)
        return _Flown(outputs, ran, sound)

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
        payload = pack(outputs)
        if payload is None or len(payload) > self._max_entry_bytes:
            self.counts.errors += 1
            return
        self._shelf.put(key, payload, self._terms.ttl_s)
        if self._remote is not None and self._remote.available:
            sealed = self._seal.close(key, payload, self._clock() + self._terms.ttl_s)
            if not self._remote.put(key, sealed, self._terms.ttl_s):
                self.counts.errors += 1
