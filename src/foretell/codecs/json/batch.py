"""The fast way for many rows.

Rows of plain numbers go from text straight into one array (simdjson); whatever else is plain is read by msgspec into
typed rows. Neither notices a key that stands twice, and simdjson flattens ragged and nested rows: strings, brackets and
row lengths are counted (see ``single`` for why counting strings is exact).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foretell.codecs.json.shapes import UNSET, Shapes, whole_bounds
from foretell.core.cells import read_datetime
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.validation import inputs_of
from foretell.core.values import Inputs, Matrix

try:
    import simdjson
except ModuleNotFoundError:  # it has no wheel for Python 3.14; msgspec reads numbers there, too
    simdjson = None  # type: ignore[assignment]

Batch = Callable[[bytes], Inputs | None]

_KEYS = frozenset({b"features", b"instances"})
_OPENING = ord("[")
_EXACT = 2.0**53  # up to here every whole number is a float64

# what simdjson raises for bodies it does not take: text that is no JSON, numbers beyond 64 bits, values of other types
_REFUSALS = (ValueError, TypeError, RuntimeError, LookupError)


class _Parsers(threading.local):
    """One simdjson parser for each thread, as it keeps its memory and is not re-entrant."""

    def __init__(self) -> None:
        self.parser = None if simdjson is None else simdjson.Parser()


_parsers = _Parsers()


def batch_decoder(signature: Signature, shapes: Shapes, limits: BodyLimits) -> Batch:
    """A reader of batch bodies; see ``codecs.base.Decoders``."""
    typed = _typed_decoder(signature, shapes, limits)
    numbers = signature.layout == "matrix" and all(c.type is not ColumnType.BOOLEAN for c in signature.columns)
    if simdjson is None or not numbers:
        return typed
    matrix = _matrix_decoder(signature, limits)

    def batch(body: bytes) -> Inputs | None:
        if shapes.any_nullable and b"null" in body:
            return typed(body)
        key = _only_string(body)
        if key is None:
            return typed(body)
        return matrix(body, key) if key in _KEYS else None

    return batch


def _only_string(body: bytes) -> bytes | None:
    """What stands between the quotes of a body that has exactly two."""
    first = body.find(b'"')
    second = body.find(b'"', first + 1)
    if first == -1 or second == -1 or body.find(b'"', second + 1) != -1:
        return None
    return body[first + 1 : second]


# -- plain numbers -----------------------------------------------------------------------------------------------------


def _matrix_decoder(signature: Signature, limits: BodyLimits) -> Callable[[bytes, bytes], Inputs | None]:
    columns, max_rows = len(signature.columns), limits.max_rows
    judge = _Judge.of(signature)

    def matrix(body: bytes, key: bytes) -> Inputs | None:
        # the brace that opens the body must be the only one, and nothing may stand before it (such as a BOM)
        if body[: body.find(b'"')].strip(b" \t\r\n") != b"{" or body.find(b"{", body.find(b'"')) != -1:
            return None
        try:
            parsed: Any = _parsers.parser.parse(body)
            rows = parsed[key.decode()]
            count = len(rows)
            if not 0 < count <= max_rows or set(map(len, rows)) != {columns}:
                return None
            # every bracket belongs to a row or to the list of rows: a value is never a list itself
            if np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == _OPENING) != count + 1:
                return None
            values = np.frombuffer(rows.as_buffer(of_type="d"), dtype=np.float64)
        except _REFUSALS:
            return None
        return judge.judged(values.reshape(count, columns))

    return matrix


class _Judge:
    """Holds a matrix against whole-number columns and bounds, all rows at once."""

    def __init__(self, whole: NDArray[np.intp], bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> None:
        self._whole, self._bounds = whole, bounds

    @classmethod
    def of(cls, signature: Signature) -> _Judge:
        columns = signature.columns
        whole = np.array([i for i, column in enumerate(columns) if column.type is ColumnType.INTEGER], dtype=np.intp)
        if not whole.size and not any(column.bounded for column in columns):
            return cls(whole, None)
        lows, highs = zip(*map(_bounds, columns), strict=True)
        return cls(whole, (np.array(lows, dtype=np.float64), np.array(highs, dtype=np.float64)))

    def judged(self, values: NDArray[np.float64]) -> Matrix | None:
        if self._bounds is not None:
            low, high = self._bounds
            if not (np.all(values >= low) and np.all(values <= high)):
                return None
        if self._whole.size:
            part = values[:, self._whole]
            if not np.all(part == np.floor(part)):
                return None
            values = values.copy()
            values[:, self._whole] = part + 0.0  # a whole number has no negative zero
        return Matrix(values)


def _bounds(column: Column) -> tuple[float, float]:
    """The smallest and largest float64 a column takes. Bounds are finite float64 here, ``Shapes`` saw to it."""
    if column.type is ColumnType.INTEGER:
        low, high = whole_bounds(column) or (1, 0)
        # beyond 2**53 a float64 may be another whole number than the text said
        return max(float(low), -_EXACT), min(float(high), _EXACT)
    low_at = -np.inf if column.minimum is None else float(column.minimum)
    high_at = np.inf if column.maximum is None else float(column.maximum)
    if column.exclusive_minimum is not None:
        low_at = max(low_at, float(np.nextafter(column.exclusive_minimum, np.inf)))
    if column.exclusive_maximum is not None:
        high_at = min(high_at, float(np.nextafter(column.exclusive_maximum, -np.inf)))
    return low_at, high_at


# -- typed rows --------------------------------------------------------------------------------------------------------


def _typed_decoder(signature: Signature, shapes: Shapes, limits: BodyLimits) -> Batch:
    row: Any = shapes.listed if shapes.named is None else shapes.listed | shapes.named
    body_rows: Any = list[row] | msgspec.UnsetType
    body_type = msgspec.defstruct(
        "Body", [("features", body_rows, UNSET), ("instances", body_rows, UNSET)], forbid_unknown_fields=True
    )
    decode = msgspec.json.Decoder(body_type).decode
    width = len(signature.columns)

    def typed(body: bytes) -> Inputs | None:
        if b"\\" in body:
            return None
        try:
            decoded: Any = decode(body)
        except ValueError:
            return None
        rows = decoded.features if decoded.instances is UNSET else decoded.instances
        if rows is UNSET or not 0 < len(rows) <= limits.max_rows:
            return None
        flat = [row if type(row) is tuple else msgspec.structs.astuple(row) for row in rows]
        named = len(rows) - list(map(type, rows)).count(tuple)
        return _settled(signature, shapes, flat, 1 + named * width, body)

    return typed


def _settled(
    signature: Signature, shapes: Shapes, rows: list[tuple[Any, ...]], keys: int, body: bytes
) -> Inputs | None:
    """The rows where the body holds as many strings as it must; ``keys`` counts keys as if none was left out."""
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    strings = keys + len(shapes.texts) * len(rows)
    if shapes.any_nullable:
        strings -= sum(column.count(UNSET) for column in columns)
        columns = [[None if value is UNSET else value for value in column] for column in columns]
        strings -= sum(columns[index].count(None) for index in shapes.texts)
    if body.count(b'"') != 2 * strings:
        return None
    for index in shapes.datetimes:
        read = [None if text is None else read_datetime(text) for text in columns[index]]
        if read.count(None) != columns[index].count(None):
            return None
        columns[index] = read
    return inputs_of(signature, columns)
