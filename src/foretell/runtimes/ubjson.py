"""Universal Binary JSON (draft 12), read as XGBoost writes it, before XGBoost reads it.

XGBoost 3.2 crashes on cut-off documents. Here no length is believed before it is checked.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_UNPACK = {marker: struct.Struct(">" + dtype.char.replace("l", "q")) for marker, dtype in _NUMBERS.items()}
_WORDS = {b"Z": None, b"T": True, b"F": False}
_DEPTH = 64


class MalformedDocument(ValueError):
    """The bytes are no UBJSON document."""


def read(content: bytes) -> Any:
    """The document: dicts, lists, numbers, texts, and numpy arrays for arrays of one type.

    Raises MalformedDocument where the bytes end early, go on after the document, or hold what UBJSON does not know.
    """
    reader = _Reader(content)
    found = reader.value(reader.take(1), 0)
    if reader.position != len(content):
        raise MalformedDocument("something follows the document")
    return found


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def take(self, count: int) -> bytes:
        start, stop = self.position, self.position + count
        if count < 0 or stop > len(self.content):
            raise MalformedDocument("it ends early")
        self.position = stop
        return self.content[start:stop]

    def value(self, marker: bytes, depth: int) -> Any:
        if marker in _UNPACK:
            unpack = _UNPACK[marker]
            return unpack.unpack(self.take(unpack.size))[0]
        if marker in _WORDS:
            return _WORDS[marker]
        if marker == b"S":
            return self.text()
        if depth >= _DEPTH:
            raise MalformedDocument("it nests too deeply")
        if marker == b"{":
            return self.object(depth + 1)
        if marker == b"[":
            return self.array(depth + 1)
        raise MalformedDocument(f"it holds {marker!r}, which is no type")

    def count(self) -> int:
        marker = self.take(1)
        if marker not in (b"i", b"U", b"I", b"l", b"L"):
            raise MalformedDocument(f"it holds {marker!r} where a length should be")
        number = self.value(marker, 0)
        if number < 0:
            raise MalformedDocument("it holds a negative length")
        return int(number)

    def text(self) -> str:
        try:
            return self.take(self.count()).decode()
        except UnicodeDecodeError as error:
            raise MalformedDocument("it holds a text that is no UTF-8") from error

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.content[self.position : self.position + 1] != b"}":
            key = self.text()
            if key in found:
                raise MalformedDocument(f"it holds the key {key[:64]!r} twice")
            found[key] = self.value(self.take(1), depth)
        self.position += 1
        return found

    def array(self, depth: int) -> Any:
        following = self.content[self.position : self.position + 1]
        if following == b"$":
            self.position += 1
            kind = self.take(1)
            if kind not in _NUMBERS or self.take(1) != b"#":
                raise MalformedDocument("it holds an array of no known type")
            dtype = _NUMBERS[kind]
            return np.frombuffer(self.take(self.count() * dtype.itemsize), dtype=dtype)
        if following == b"#":
            self.position += 1
            return [self.value(self.take(1), depth) for _ in range(self._possible(self.count()))]
        found = []
        while (marker := self.take(1)) != b"]":
            found.append(self.value(marker, depth))
        return found

    def _possible(self, count: int) -> int:
        if count > len(self.content) - self.position:
            raise MalformedDocument("it ends early")
        return count
