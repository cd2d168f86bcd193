"""Reading FlatBuffers tables where they lie: as much of the format as the headers of Arrow messages need.

Nothing is believed: whatever points outside the bytes raises OutOfBounds.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTHS = {"<i": 4, "<I": 4, "<H": 2, "<B": 1, "<q": 8}


class OutOfBounds(Exception):
    """A table says that something stands where nothing does."""


class FlatTable:
    """One table of a buffer. Fields are asked for by their slot, in the order the schema declares them."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data, self._position = data, position
        self._vtable = position - self._read("<i", position)
        self._slots = (self._read("<H", self._vtable) - 4) // 2

    @classmethod
    def root(cls, data: memoryview) -> FlatTable:
        """The table the buffer begins with. Raises OutOfBounds, as all methods do."""
        return cls(data, int(struct.unpack_from("<I", data)[0]) if len(data) >= 4 else -1)

    def number(self, slot: int, form: str, default: int = 0) -> int:
        """A number of a ``struct`` format; ``default`` where the field is absent."""
        position = self._field(slot)
        return default if position is None else self._read(form, position)

    def table(self, slot: int) -> FlatTable | None:
        """The table a field points at; None where it is absent."""
        position = self._field(slot)
        return None if position is None else FlatTable(self._data, self._target(position))

    def pairs(self, slot: int) -> NDArray[np.int64]:
        """A vector of structs of two int64, shape (items, 2); empty where the field is absent."""
        position = self._field(slot)
        if position is None:
            return np.empty((0, 2), dtype=np.int64)
        start = self._target(position)
        count = self._read("<I", start)
        if start + 4 + 16 * count > len(self._data):
            raise OutOfBounds
        return np.frombuffer(self._data, dtype="<i8", count=2 * count, offset=start + 4).reshape(count, 2)

    def _field(self, slot: int) -> int | None:
        if slot >= self._slots:
            return None
        offset = self._read("<H", self._vtable + 4 + 2 * slot)
        return self._position + offset if offset else None

    def _target(self, position: int) -> int:
        return position + self._read("<I", position)

    def _read(self, form: str, position: int) -> int:
        if not 0 <= position <= len(self._data) - _LENGTHS[form]:
            raise OutOfBounds
        value: Any = struct.unpack_from(form, self._data, position)[0]
        return int(value)
