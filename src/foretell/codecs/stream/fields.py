"""The fast way of CSV streams: whole columns of fields at a time, where every field is plainly right.

Fields become numbers as JSON has them, which is the grammar CSV cells are held to, so that what is accepted here
is what the explaining way accepts, with identical values. Whatever holds a quote, or is
unusual in any way, is not plain.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foretell.codecs.stream.columns import Columns
from foretell.codecs.stream.numerals import numbers_of
from foretell.core.cells import INT64_MAX, INT64_MIN
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Inputs, Matrix, Table

Fast = Callable[[Sequence[bytes]], Inputs | None]

_EXACT = 2.0**53  # up to here every whole number is a float64
_COMMA, _LINE_END = b",\n"
_LARGEST = sys.float_info.max  # a whole number just beyond would be rounded to it: at the very edge nothing is plain
_floats_or_null = msgspec.json.Decoder(list[float | None]).decode
_wholes = msgspec.json.Decoder(list[int]).decode


def fast_fields(signature: Signature, columns: Columns, limits: BodyLimits) -> Fast:
    """A reader of chunks of records; gives None for what is not plain, and never raises."""
    width = len(columns.names)
    readers = [
        (position, column, _reader(column, limits))
        for position, column in zip(columns.positions, signature.columns, strict=True)
    ]
    matrix = signature.layout == "matrix"
    numbers = matrix and columns.in_order and all(map(_number, signature.columns))

    def fast(lines: Sequence[bytes]) -> Inputs | None:
        body = b"\n".join(lines)
        if b"\r" in body or b"\0" in body:
            return None
        if numbers and width > 1 and b'"' not in body and (values := _flat(lines, body, width)) is not None:
            return _judged(values, signature.columns)
        rows = _split(lines, body)
        if rows is None or set(map(len, rows)) != {width}:
            return None
        fields = list(zip(*rows, strict=True))
        read: dict[str, NDArray[Any]] = {}
        for position, column, reader in readers:
            array = _absent(column, len(rows)) if position is None else reader(fields[position])
            if array is None:
                return None
            read[column.name] = array
        if matrix:
            return Matrix(np.ascontiguousarray(np.stack(list(read.values()), axis=1), dtype=np.float64))
        return Table(read)

    return fast


def _split(lines: Sequence[bytes], body: bytes) -> list[list[str]] | None:
    """The fields of every record; None where a quote stands in a field, or something is no CSV."""
    try:
        if b'"' not in body:
            return [line.split(",") for line in body.decode().split("\n")]
        rows = list(csv.reader([line.decode() for line in lines], strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    # the library takes a quote inside a bare field for a part of it: where no field has one, there was none
    return rows if len(rows) == len(lines) and not any('"' in "".join(row) for row in rows) else None


def _number(column: Column) -> bool:
    return column.type in (ColumnType.FLOAT, ColumnType.INTEGER) and _bounds_exact(column)


def _bounds_exact(column: Column) -> bool:
    """Whether every bound, which may be a whole number of any size, is a float64 that whole numbers compare with."""
    bounds = (column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum)
    return all(bound is None or -_EXACT <= bound <= _EXACT for bound in bounds)


def _flat(lines: Sequence[bytes], body: bytes, width: int) -> NDArray[np.float64] | None:
    """Records of numbers alone, all at once; None where a field is empty or no number."""
    signs = np.frombuffer(body, dtype=np.uint8)
    signs = signs[(signs == _COMMA) | (signs == _LINE_END)]
    if len(signs) != len(lines) * width - 1:
        return None
    ends = signs[width - 1 :: width]
    if not (ends == _LINE_END).all() or np.count_nonzero(signs == _LINE_END) != len(ends):
        return None
    values = numbers_of(body.replace(b"\n", b","), len(lines) * width)
    return None if values is None else values.reshape(len(lines), width)


def _judged(values: NDArray[np.float64], columns: Sequence[Column]) -> Matrix | None:
    """The matrix, where no value is beyond a bound or not whole where it has to be."""
    for index, column in enumerate(columns):
        if column.type is ColumnType.INTEGER:
            part = values[:, index]
            if not (np.abs(part) <= _EXACT).all() or not (part == np.floor(part)).all():
                return None
            values[:, index] = part + 0.0  # a whole number has no negative zero
        if column.bounded and not _within(column, values[:, index]):
            return None
    return Matrix(values)


def _within(column: Column, values: NDArray[Any]) -> bool:
    checks = (
        (column.minimum, np.greater_equal),
        (column.exclusive_minimum, np.greater),
        (column.maximum, np.less_equal),
        (column.exclusive_maximum, np.less),
    )
    return all(bound is None or bool(check(values, bound).all()) for bound, check in checks)


def _absent(column: Column, count: int) -> NDArray[Any]:
    """A nullable column that was not sent."""
    if column.type in (ColumnType.STRING, ColumnType.CATEGORY):
        return np.full(count, None, dtype=object)
    if column.type is ColumnType.DATETIME:
        return np.full(count, "NaT", dtype="datetime64[us]")
    return np.full(count, np.nan)


Fields = Sequence[str]


def _reader(column: Column, limits: BodyLimits) -> Callable[[Fields], NDArray[Any] | None]:
    if not _bounds_exact(column):
        return lambda _: None
    match column.type:
        case ColumnType.FLOAT:
            return lambda fields: _real_column(column, fields)
        case ColumnType.INTEGER:
            return lambda fields: _whole_column(column, fields)
        case ColumnType.STRING | ColumnType.CATEGORY:
            return lambda fields: _text_column(column, fields, limits)
        case ColumnType.BOOLEAN:
            return lambda fields: _boolean_column(column, fields)
        case _:
            return lambda _: None


def _real_column(column: Column, fields: Fields) -> NDArray[Any] | None:
    try:
        if column.nullable:
            text = "[" + ",".join([field or "null" for field in fields]) + "]"
            values = np.array(_floats_or_null(text), dtype=np.float64)
        else:
            found = numbers_of(",".join(fields).encode(), len(fields))
            if found is None:
                return None
            values = found
    except ValueError:
        return None
    # a field of its own accord may say null, which is no number in CSV
    nulls = sum([not field for field in fields]) if column.nullable else 0
    finite = np.abs(values) < _LARGEST
    if int(np.count_nonzero(finite)) != len(fields) - nulls:
        return None
    if column.bounded and not _within(column, values[finite]):
        return None
    return values


def _whole_column(column: Column, fields: Fields) -> NDArray[Any] | None:
    try:
        wholes = _wholes("[" + ",".join(fields) + "]")
    except ValueError:
        return _whole_reals(column, fields)
    if len(wholes) != len(fields) or min(wholes) < INT64_MIN or max(wholes) > INT64_MAX:
        return None
    array = np.array(wholes, dtype=np.int64)
    if column.bounded and not _within(column, array):
        return None
    return array.astype(np.float64) if column.nullable else array


def _whole_reals(column: Column, fields: Fields) -> NDArray[Any] | None:
    """Whole numbers some of which are absent, or written with a fraction of zero."""
    values = _real_column(column, fields)
    if values is None:
        return None
    known = values[np.isfinite(values)]
    if not (np.abs(known) <= _EXACT).all() or not (known == np.floor(known)).all():
        return None
    return values + 0.0 if column.nullable else values.astype(np.int64)


def _boolean_column(column: Column, fields: Fields) -> NDArray[Any] | None:
    kinds = set(fields)
    if column.nullable and "" in kinds:
        known = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "": np.nan}
    else:
        known = {"true": True, "false": False, "1": True, "0": False}
    if not kinds <= known.keys():
        return None
    array = np.array([known[field] for field in fields])
    return array.astype(np.float64) if column.nullable else array


def _text_column(column: Column, fields: Fields, limits: BodyLimits) -> NDArray[Any] | None:
    if column.pattern is not None:
        return None
    longest = column.longest(limits.max_text_chars)
    for text in set(fields):
        if not text:
            if not column.nullable:
                return None
        elif len(text) > longest or (column.closed and text not in (column.categories or ())):
            return None
    array = np.empty(len(fields), dtype=object)
    array[:] = [text or None for text in fields]
    return array
