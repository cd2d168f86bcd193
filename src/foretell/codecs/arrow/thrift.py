"""Reading Thrift's compact protocol: as much of it as the headers of Parquet pages and footers need.

Nothing is believed: what ends too soon, nests too deep, has more values than allowed, or could be read in two ways
raises Damaged. Thrift's own readers take the elements of a known list for what they should be, whatever the list says
they are, and cut numbers down to their width; a reader beside them must refuse what they would read differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

MAX_DEPTH = 24

_TRUE, _FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class Damaged(Exception):
    """The bytes are no Thrift structure, or none that is read here."""


class ListOf(NamedTuple):
    """What the elements of a list must be; where they are structures, what is known of their fields."""

    kind: int
    fields: Mapping[int, Any] = {}


Known: TypeAlias = Mapping[int, "ListOf | Known"]
"""The fields of a structure that are lists, or structures with such inside, by id."""


class Fields:
    """The fields of a structure. Each is asked for with its kind; one of another kind is Damaged."""

    def __init__(self) -> None:
        self._fields: dict[int, tuple[int, Any]] = {}

    def put(self, number: int, kind: int, value: Any) -> None:
        """Raises Damaged where the field stands twice."""
        if number in self._fields:
            raise Damaged
        self._fields[number] = kind, value

    def get(self, number: int, kind: int) -> Any:
        """The value of a field that must be there."""
        value = self.find(number, kind)
        if value is None:
            raise Damaged
        return value

    def find(self, number: int, kind: int) -> Any:
        """The value of a field; None where there is none."""
        found, value = self._fields.get(number, (kind, None))
        if found != kind:
            raise Damaged
        return value


class ThriftReader:
    """Reads structures from ``data``, at most ``max_values`` values in all."""

    def __init__(self, data: memoryview, position: int, max_values: int) -> None:
        self._data, self.position, self._left = data, position, max_values
        self._readers: dict[int, Callable[[int, Any], Any]] = {
            BYTE: lambda *_: self._skip(1),  # which a boolean inside a list is, too
            I16: lambda *_: self._whole(16),
            I32: lambda *_: self._whole(32),
            I64: lambda *_: self._whole(64),
            DOUBLE: lambda *_: self._skip(8),
            BINARY: lambda *_: self._skip(self._varint()),
            LIST: self._items,
            SET: self._items,
            MAP: self._pairs,
            STRUCT: lambda depth, known: self.struct(known, depth + 1),
        }

    def struct(self, known: Known | None = None, depth: int = 0) -> Fields:
        """The next structure; ``known`` says what stands in those of its fields that hold others."""
        if depth > MAX_DEPTH:
            raise Damaged
        fields, number = Fields(), 0
        while (head := self._byte()) & 0x0F:
            delta, kind = head >> 4, head & 0x0F
            number = number + delta if delta else self._whole(16)
            if kind in (_TRUE, _FALSE):
                fields.put(number, _TRUE, kind == _TRUE)
            else:
                fields.put(number, kind, self._value(kind, depth, (known or {}).get(number)))
        return fields

    def _value(self, kind: int, depth: int, known: Any) -> Any:
        self._left -= 1
        if self._left < 0 or kind not in self._readers:
            raise Damaged
        if known is not None and kind != (LIST if isinstance(known, ListOf) else STRUCT):
            raise Damaged
        return self._readers[kind](depth, known)

    def _items(self, depth: int, known: ListOf | None) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 0x0F
        count = self._varint() if count == 15 else count
        if known is not None and count and kind != known.kind:
            raise Damaged
        return self._repeat(count, (kind,), depth, known.fields if known else None)

    def _pairs(self, depth: int, _: Any) -> None:
        count = self._varint()
        if count:
            kinds = self._byte()
            self._repeat(count, (kinds >> 4, kinds & 0x0F), depth, None)

    def _repeat(self, count: int, kinds: tuple[int, ...], depth: int, known: Any) -> list[Any]:
        if count * len(kinds) > self._left or depth > MAX_DEPTH:
            raise Damaged
        kinds = tuple(BYTE if kind in (_TRUE, _FALSE) else kind for kind in kinds)
        return [self._value(kind, depth + 1, known or None) for _ in range(count) for kind in kinds]

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

    def _varint(self, bits: int = 31) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise Damaged
        if value >> bits:
            raise Damaged
        return value

    def _whole(self, bits: int) -> int:
        value = self._varint(bits)
        return (value >> 1) ^ -(value & 1)
