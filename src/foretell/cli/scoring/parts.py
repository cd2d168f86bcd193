"""A file of rows in parts, whose boundaries depend on the file alone.

However many processes work on a file, and however often a run is killed, the same rows are answered together: libraries
round differently by batch size, and the same file is to give the same bytes. A part of a CSV file ends with a record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PART_BYTES = 4 * 1024 * 1024
_LOOK_BYTES = 2 * 1024 * 1024
"""How far a part may go beyond its size to end with a record; where quotes are never closed it ends with a line."""
_BLOCK_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a text file, or rows of a file of columns, from ``start`` up to ``stop``."""

    index: int
    start: int
    stop: int

    def to_document(self) -> dict[str, Any]:
        """Plain values, for a pipe."""
        return {"index": self.index, "start": self.start, "stop": self.stop}


def text_parts(file: int, size: int, *, quoted: bool, first: int = 0, start: int = 0) -> Iterator[Part]:
    """The parts of an open file from part ``first`` on, which begins at ``start``. ``quoted``: as CSV has records."""
    index = first
    while start < size:
        stop = _boundary(file, start, size, quoted=quoted)
        yield Part(index, start, stop)
        index, start = index + 1, stop


def header_end(file: int, size: int) -> int:
    """Where the first record of a CSV file ends, lines without a character before it passed over."""
    start = len(_BOM) if os.pread(file, len(_BOM), 0) == _BOM else 0
    while start < size:
        stop = _end_of_record(file, start, start, size, odd=False, quoted=True)
        if os.pread(file, min(stop - start, 3), start).strip(b"\r\n"):
            return stop
        start = stop
    return size


def _boundary(file: int, start: int, size: int, *, quoted: bool) -> int:
    target = start + PART_BYTES
    if target >= size:
        return size
    odd = False
    if quoted:
        for position in range(start, target, _BLOCK_BYTES):
            block = os.pread(file, min(_BLOCK_BYTES, target - position), position)
            odd ^= bool(block.count(b'"') & 1)
    return _end_of_record(file, start, target, size, odd=odd, quoted=quoted)


def _end_of_record(file: int, start: int, target: int, size: int, *, odd: bool, quoted: bool) -> int:
    """The end of the first record that ends at or after ``target``; ``odd``: whether quotes are open there."""
    if target > start and not odd and os.pread(file, 1, target - 1) == b"\n":
        return target
    ahead = os.pread(file, min(_LOOK_BYTES, size - target), target)
    position, first = 0, -1
    while (newline := ahead.find(b"\n", position)) != -1:
        first = newline if first == -1 else first
        if quoted:
            odd ^= bool(ahead.count(b'"', position, newline) & 1)
        if not odd:
            return target + newline + 1
        position = newline + 1
    if target + len(ahead) >= size:
        return size
    return target + (first if first != -1 else len(ahead) - 1) + 1
