"""Reading Thrift's compact protocol: as much of it as the headers of Parquet pages and footers need.

Nothing is believed: what ends too soon, nests too deep or has more values than allowed raises Damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAX_DEPTH = 24

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class Damaged(Exception):
    """The bytes are no Thrift structure, or a larger one than is read here."""


class ThriftReader:
    """Reads structures from ``data``, at most ``max_values`` values in all."""

    def __init__(self, data: memoryview, position: int, max_values: int) -> None:
        self._data, self.position, self._left = data, position, max_values
        self._readers: dict[int, Callable[[int], Any]] = {
            _BYTE: lambda _: self._byte(),  # which a boolean inside a list is, too
            _I16: lambda _: self._zigzag(),
            _I32: lambda _: self._zigzag(),
            _I64: lambda _: self._zigzag(),
            _DOUBLE: lambda _: self._skip(8),
            _BINARY: lambda _: self._skip(self._varint()),
            _LIST: self._items,
            _SET: self._items,
            _MAP: self._pairs,
            _STRUCT: lambda depth: self.struct(depth + 1),
        }

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a structure by id: whole numbers, booleans and structures; all else as None."""
        if depth > MAX_DEPTH:
            raise Damaged
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) & 0x0F:
            delta, kind = head >> 4, head & 0x0F
            number = number + delta if delta else self._zigzag()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Damaged
        if kind not in self._readers:
            raise Damaged
        return self._readers[kind](depth)

    def _items(self, depth: int) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 0x0F
        count = self._varint() if count == 15 else count
        self._repeat(count, (kind,), depth)

    def _pairs(self, depth: int) -> None:
        count = self._varint()
        if count:
            kinds = self._byte()
            self._repeat(count, (kinds >> 4, kinds & 0x0F), depth)

    def _repeat(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        if count * len(kinds) > self._left or depth > MAX_DEPTH:
            raise Damaged
        for _ in range(count):
            for kind in kinds:
                self._value(_BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1)

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self.position:
            raise Damaged
        self.position += size

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise Damaged
        byte = self._data[self.position]
        self.position += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Damaged

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
