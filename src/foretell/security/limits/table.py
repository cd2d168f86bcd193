"""A table of rings in memory that processes may share: fixed slots, found by a hash, with no pointers between them.

Whatever is left half written by a process that dies is a count that is too high or too low by one portion, in one
slot. A slot is four words (the bucket's hash in two, the newest part, when all of it is forgotten) and the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from foretell.security.limits.buckets import Bucket
from foretell.security.limits.window import Window

PROBES = 16
_HEAD = 4
_LOW, _HIGH, _NEWEST, _UNTIL = range(_HEAD)


class Table:
    """``slots`` (a power of two) of ``ring`` parts each, in the 64-bit ``words`` given."""

    def __init__(self, words: memoryview, slots: int, ring: int, salt: bytes, held_s: float) -> None:
        self._words = words
        self._mask = slots - 1
        self._ring = ring
        self._size = _HEAD + ring
        self._salt = int.from_bytes(salt, "little")
        self.window: Callable[[int], Window] = lru_cache(256)(lambda period_s: Window.of(period_s, held_s, ring - 1))

    @staticmethod
    def length(slots: int, ring: int) -> int:
        """How many words a table takes."""
        return slots * (_HEAD + ring)

    def place(self, bucket: Bucket, now_s: float, *, make: bool = True) -> int:
        """Where the bucket is counted. It gets a free slot where it had none; else that which is forgotten soonest.

        -1: it has none, and none was to be made.
        """
        words = self._words
        key = int.from_bytes(bucket.digest, "little") ^ self._salt
        low, high = key & 0xFFFF_FFFF_FFFF_FFFF | 1, key >> 64
        place = bucket.place
        if place >= 0 and words[place] == low and words[place + _HIGH] == high:
            return place
        # a stride of the bucket's own, or else full stretches would grow together
        home, stride, size = high & self._mask, low, self._size
        places = [(home + probe * stride & self._mask) * size for probe in range(PROBES)]
        for place in places:
            if words[place] == low and words[place + _HIGH] == high:
                bucket.place = place
                return place
        if not make:
            return -1
        now = int(now_s)
        free = (place for place in places if not words[place] or words[place + _UNTIL] <= now)
        place = next(free, -1)
        if place < 0:
            place = min(places, key=lambda place: words[place + _UNTIL])
        words[place + _LOW] = 0
        for word in range(place + _HIGH, place + size):
            words[word] = 0
        words[place + _HIGH] = high
        words[place + _LOW] = low
        bucket.place = place
        return place

    def used(self, place: int, window: Window, now_s: float) -> int:
        """What is counted in the slot, after leaving out what is too old."""
        words, ring = self._words, self._ring
        part, newest = window.part(now_s), words[place + _NEWEST]
        parts = place + _HEAD
        if part > newest:
            for number in range(max(newest + 1, part - ring + 1), part + 1):
                words[parts + number % ring] = 0
            words[place + _NEWEST] = part
        elif newest > part + 1:  # a clock was ahead for a while: what it counted is taken to be of now
            total = sum(words[parts : parts + ring])
            for word in range(parts, parts + ring):
                words[word] = 0
            words[parts + part % ring] = total
            words[place + _NEWEST] = part
        return sum(words[parts : parts + ring])

    def count(self, place: int, window: Window, amount: int) -> None:
        """Counts in the newest part, after ``used``."""
        words = self._words
        newest = words[place + _NEWEST]
        words[place + _HEAD + newest % self._ring] += amount
        words[place + _UNTIL] = int(window.leaves_s(newest)) + 1

    def uncount(self, place: int, part: int, amount: int) -> None:
        """Takes off again what was counted in ``part``; the part before it may hold some of it."""
        words, ring = self._words, self._ring
        newest = words[place + _NEWEST]
        for number in (part, part - 1):
            if amount > 0 and newest - ring < number <= newest:
                word = place + _HEAD + number % ring
                there = words[word]  # read once: where nobody waits for the lock it may change, and is never below 0
                less = min(amount, there)
                words[word] = there - less
                amount -= less

    def counted(self, place: int) -> list[tuple[int, int]]:
        """(part, amount), the oldest first."""
        words, ring = self._words, self._ring
        newest = words[place + _NEWEST]
        numbers = range(max(0, newest - ring + 1), newest + 1)
        return [(number, words[place + _HEAD + number % ring]) for number in numbers]
