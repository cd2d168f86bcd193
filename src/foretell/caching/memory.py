"""What one process remembers: bytes, bounded by their number, the least recently used forgotten first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

ENTRY_BYTES = 512
"""What an entry takes beside its value: key, table slots, object headers. Measured at some 400; see the tests."""


class Entry(NamedTuple):
    """A value, and beside it what it was written as last, if it was."""

    value: bytes
    expires_s: float
    shelf: Shelf
    written: bytes = b""


class Memory:
    """All remembered values of a process. Not for several threads: the event loop's thread alone comes here."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.clock = clock
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def shelf(self, max_bytes: int | None = None) -> Shelf:
        """A part of the memory, for one version: bounded on its own too where ``max_bytes`` is given."""
        return Shelf(self, self.max_bytes if max_bytes is None else min(max_bytes, self.max_bytes))

    def find(self, key: bytes) -> Entry | None:
        """The entry of a key, which is the most recently used one from now on; None where it has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_s <= self.clock():
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Takes an entry in, in the place of one of the same key, and forgets what is over the bounds then.

        What would not fit even alone is not taken, so that it does not drive everything else out.
        """
        self.forget(key)
        size = _size(entry)
        if size > entry.shelf.max_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        entry.shelf.took(key, size)
        while entry.shelf.bytes > entry.shelf.max_bytes:
            self.forget(entry.shelf.oldest())
        while self.bytes > self.max_bytes:
            self.forget(next(iter(self._entries)))

    def forget(self, key: bytes) -> None:
        """Forgets one key, if it is known."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            size = _size(entry)
            self.bytes -= size
            entry.shelf.lost(key, size)


def _size(entry: Entry) -> int:
    return len(entry.value) + len(entry.written) + ENTRY_BYTES


class Shelf:
    """What the memory holds for one version."""

    def __init__(self, memory: Memory, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._memory = memory
        self._keys: OrderedDict[bytes, None] = OrderedDict()
        self._closed = False

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: bytes) -> Entry | None:
        """What is remembered under a key, or None."""
        entry = self._memory.find(key)
        if entry is None or entry.shelf is not self:
            return None
        self._keys.move_to_end(key)
        return entry

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        entry = self.find(key)
        return None if entry is None else entry.value

    def note(self, key: bytes, entry: Entry, written: bytes) -> None:
        """Keeps beside what ``find`` gave for the key just now what it was written as, for the next time.

        It takes its room like everything else. Where it would not fit in beside the value, it is not kept.
        """
        if len(written) + _size(entry) <= self.max_bytes:
            self._memory.put(key, entry._replace(written=written))

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Remembers the value for ``ttl_s`` seconds, or for less where it has to make room."""
        if not self._closed:
            self._memory.put(key, Entry(value, self._memory.clock() + ttl_s, self))

    def close(self) -> None:
        """Forgets everything, and takes nothing more."""
        self._closed = True
        for key in list(self._keys):
            self._memory.forget(key)

    # -- called by the memory --

    def took(self, key: bytes, size: int) -> None:
        self._keys[key] = None
        self.bytes += size

    def lost(self, key: bytes, size: int) -> None:
        self._keys.pop(key, None)
        self.bytes -= size

    def oldest(self) -> bytes:
        """The key that was not used for longest."""
        return next(iter(self._keys))
