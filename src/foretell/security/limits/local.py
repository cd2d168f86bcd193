"""Counters of one host: a table in memory, in a file that all workers map or in this process alone."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from foretell.security.limits.buckets import Bucket
from foretell.security.limits.counters import Amount, Granted, Mark, Refused, longer
from foretell.security.limits.table import Table
from foretell.security.limits.window import Window

HELD_S = 0.008
NAMED_SLOTS, NAMED_RING = 16_384, 28
ADDRESS_SLOTS, ADDRESS_RING = 8192, 12
WORDS = Table.length(NAMED_SLOTS, NAMED_RING) + Table.length(ADDRESS_SLOTS, ADDRESS_RING)
PATIENCE_S = 0.02
UNLOCKED_S = 1.0

Clock = Callable[[], float]

_log = structlog.get_logger("foretell.limits")


class LocalCounters:
    """``words`` are counted in under the lock on ``lock`` (a file; None: nobody else counts in them).

    Addresses, of which anybody can bring any number, have a table of their own: they push out one another and nobody
    else. ``share``: of how many that count alike this is one; each holds its part of every limit.
    """

    held_s = HELD_S

    def __init__(
        self,
        words: memoryview,
        salt: bytes,
        clock: Clock,
        *,
        lock: int | None = None,
        workers: int = 1,
        share: int = 1,
        name: str = "local",
    ) -> None:
        named = Table.length(NAMED_SLOTS, NAMED_RING)
        self._named = Table(words[:named], NAMED_SLOTS, NAMED_RING, salt, self.held_s)
        self._addresses = Table(words[named:], ADDRESS_SLOTS, ADDRESS_RING, salt, self.held_s)
        self._clock = clock
        self._file = lock
        self._workers = workers
        self.share = share
        self._name = name
        self._unlocked_until_s = 0.0

    def take(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """See ``Counters``."""
        with self._alone():
            now_s = self._clock()
            slots = []
            portion = list(want)
            refused: Refused | None = None
            for bucket in buckets:
                slot = self._slot(bucket, now_s)
                slots.append(slot)
                needed = need[bucket.unit]
                left = max(1, bucket.rate.count // self.share) - slot.used(now_s)
                if left < needed:
                    refused = longer(refused, slot.refusal(bucket, needed, left, now_s))
                # the others shall find something, too, where little is left
                portion[bucket.unit] = min(portion[bucket.unit], needed + max(0, left - needed) // self._workers)
            if refused is not None:
                return refused
            for bucket, slot in zip(buckets, slots, strict=True):
                if portion[bucket.unit]:
                    slot.table.count(slot.place, slot.window, portion[bucket.unit])
            return Granted(Amount(*portion), Mark(self._name, now_s))

    async def ask(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """See ``Counters``; never waits."""
        return self.take(buckets, need, want)

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        """See ``Counters``."""
        with self._alone():
            for bucket in buckets:
                slot = self._slot(bucket, mark.at_s, make=False)
                if slot.place >= 0 and amount[bucket.unit]:
                    slot.table.uncount(slot.place, slot.window.part(mark.at_s), amount[bucket.unit])

    def note(self, buckets: Sequence[Bucket], amount: Amount) -> float:
        """Counts what was granted elsewhere, whatever the limits say here. The time it is counted at."""
        with self._alone():
            now_s = self._clock()
            for bucket in buckets:
                slot = self._slot(bucket, now_s)
                slot.used(now_s)
                slot.table.count(slot.place, slot.window, amount[bucket.unit])
            return now_s

    def count(self, bucket: Bucket) -> None:
        """Counts one, whatever the limit says; no more than the limit is kept."""
        if self.full(bucket) is None:
            self.note([bucket], Amount(1, 1))

    def full(self, bucket: Bucket) -> Refused | None:
        """Why there is none left, if so; nothing is counted."""
        with self._alone():
            now_s = self._clock()
            slot = self._slot(bucket, now_s, make=False)
            left = 1 if slot.place < 0 else bucket.rate.count - slot.used(now_s)
            return None if left >= 1 else slot.refusal(bucket, 1, left, now_s)

    def _slot(self, bucket: Bucket, now_s: float, *, make: bool = True) -> _Slot:
        table = self._addresses if bucket.of_addresses else self._named
        return _Slot(table, table.window(bucket.rate.period_s), table.place(bucket, now_s, make=make))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process counts meanwhile.

        One that was stopped with the lock in its hand is not waited for: for a second everybody counts without it,
        where two at the same instant may count as one.
        """
        if self._file is None or not self._locked():
            yield
            return
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _locked(self) -> bool:
        until_s = 0.0
        while True:
            try:
                fcntl.flock(self._file or 0, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now_s = time.monotonic()
                until_s = until_s or now_s + PATIENCE_S
                if now_s < self._unlocked_until_s:
                    return False
                if now_s >= until_s:
                    self._unlocked_until_s = now_s + UNLOCKED_S
                    _log.warning("limits_unlocked", detail="a process holds the counters and does not go on")
                    return False
                time.sleep(2e-5)
            else:
                return True


class _Slot(NamedTuple):
    """Where a bucket is counted; ``place`` -1: nowhere."""

    table: Table
    window: Window
    place: int

    def used(self, now_s: float) -> int:
        return self.table.used(self.place, self.window, now_s)

    def refusal(self, bucket: Bucket, needed: int, left: int, now_s: float) -> Refused:
        wait_s = self.window.wait_s(self.table.counted(self.place), needed - left, now_s)
        # what is more than the share alone is not there before the others are counted with again
        return Refused(bucket, max(0, left), min(wait_s, bucket.rate.period_s + 2 * self.window.part_s))


def alone(workers: int, clock: Clock = time.monotonic) -> LocalCounters:
    """Counters of this process alone, which holds its part of every limit: one of ``workers``."""
    return LocalCounters(memoryview(bytearray(WORDS * 8)).cast("Q"), bytes(16), clock, share=workers)
