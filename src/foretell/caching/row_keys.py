"""The key of a single row, without making arrays of it first: what ``Keys`` makes of its inputs, by test. Pure.

What a row has in common with all rows of its signature (names, dtypes, shapes, lengths) is hashed or written down once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from foretell.caching.keys import Keys, framed, packed_texts, shape_of
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Row, assemble

_EIGHT = (8).to_bytes(8, "little")
_NAN = struct.pack("<d", math.nan)
_float = struct.Struct("<d").pack
_integer = struct.Struct("<q").pack

_TENANTS_KEPT = 4096

Cell = Callable[[Any], bytes]
"""The bytes of one cell as a column of one row has them. Raises struct.error or TypeError for what it does not know."""


class RowKeys:
    """The keys of single rows of one version."""

    def __init__(self, keys: Keys, signature: Signature) -> None:
        self._keys = keys
        self._signature = signature
        self._prefix = b""
        self._states: dict[str, Any] = {}
        self._fast: Callable[[Row], bytes] | None = None
        if signature.layout == "matrix":
            width = len(signature.columns)
            self._pack = struct.Struct(f"<{width}d").pack
            head = (b"matrix", b"<f8", shape_of(1, width))
            self._prefix = b"".join(map(framed, head)) + (8 * width).to_bytes(8, "little")
            self._fast = self._matrix
        elif signature.layout == "table" and all(
            column.type is not ColumnType.DATETIME for column in signature.columns
        ):
            self._prefix = framed(b"table")
            self._cells = [(_head(column), _cell(column)) for column in signature.columns]
            self._fast = self._table

    def key(self, row: Row, tenant: str = "") -> bytes:
        """The key of a validated row of one tenant's. Raises TypeError where it holds what no validated row holds."""
        if self._fast is not None:
            try:
                content = self._fast(row)
            except (struct.error, TypeError, OverflowError):
                pass  # a null, or what only the arrays can tell
            else:
                state = (self._states.get(tenant) or self._begun(tenant)).copy()
                state.update(content)
                digest: bytes = state.digest()
                return digest
        return self._keys.key(assemble(self._signature, [row]), tenant=tenant)

    def _begun(self, tenant: str) -> Any:
        state = self._keys.begun(tenant=tenant)
        state.update(self._prefix)
        if len(self._states) >= _TENANTS_KEPT:
            self._states.clear()
        self._states[tenant] = state
        return state

    def _matrix(self, row: Row) -> bytes:
        if math.isnan(sum(row)):  # NaN has many bit patterns, and the arrays know which one stands for a null
            raise TypeError("not a number")
        return self._pack(*row)

    def _table(self, row: Row) -> bytes:
        return b"".join([head + write(cell) for (head, write), cell in zip(self._cells, row, strict=True)])


def _head(column: Column) -> bytes:
    """What stands before the cell: name, dtype and shape, and the length where all cells have the same."""
    name, shape = column.name.encode("utf-8", "surrogatepass"), shape_of(1)
    match column.type:
        case ColumnType.STRING | ColumnType.CATEGORY:
            return b"".join(map(framed, (name, b"texts", shape)))
        case ColumnType.INTEGER if not column.nullable:
            return b"".join(map(framed, (name, b"<i8", shape))) + _EIGHT
        case ColumnType.BOOLEAN if not column.nullable:
            return b"".join(map(framed, (name, b"|b1", shape))) + (1).to_bytes(8, "little")
        case _:
            return b"".join(map(framed, (name, b"<f8", shape))) + _EIGHT


def _cell(column: Column) -> Cell:
    match column.type:
        case ColumnType.STRING | ColumnType.CATEGORY:
            return _text
        case ColumnType.INTEGER if not column.nullable:
            return _integer
        case ColumnType.BOOLEAN if not column.nullable:
            return _boolean
        case _:
            return _number


def _text(cell: Any) -> bytes:
    return framed(packed_texts([cell]))


def _boolean(cell: Any) -> bytes:
    if type(cell) is not bool:
        raise TypeError("something else where a boolean was expected")
    return b"\x01" if cell else b"\x00"


def _number(cell: Any) -> bytes:
    return _NAN if cell is None or math.isnan(cell) else _float(cell)
