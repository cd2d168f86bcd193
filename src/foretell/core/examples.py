"""Requests that work, made from a signature: what documentation shows and ``foretell check`` prints."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from foretell.core.signature import Column, ColumnType, Signature, Tensor

_MOMENT = "2026-01-01T00:00:00Z"
_WORDS = ("text", "a", "A", "0", "abc", "ABC", "123", "a-1", "A1", "a@example.org", "https://example.org", "2026-01-01")


def example_row(signature: Signature) -> Any:
    """One row as ``features`` takes it: a list in column order, or an object where columns are named and mixed."""
    if signature.tensors:
        nested = {tensor.name: _nested(tensor, tensor.shape[1:]) for tensor in signature.tensors}
        return next(iter(nested.values())) if len(nested) == 1 else nested
    values = [example_cell(column) for column in signature.columns]
    if signature.named and signature.layout == "table":
        return dict(zip(signature.names, values, strict=True))
    return values


def example_request(signature: Signature, row: Any = None, many: bool = False) -> dict[str, Any]:
    """A body that the model takes. ``row`` is one known to be good, such as a golden example's ``features``."""
    features = example_row(signature) if row is None else row
    return {"features": [features] if many else features}


def example_csv(signature: Signature, row: Any = None, many: bool = False) -> str | None:
    """The same as CSV: a header and one row, two where ``many``; None for tensors, which CSV cannot carry."""
    if signature.tensors:
        return None
    features = example_row(signature) if row is None else row
    by_name: Mapping[str, Any] = (
        features if isinstance(features, Mapping) else dict(zip(signature.names, features, strict=True))
    )
    line = _line([by_name.get(name) for name in signature.names])
    return _line(signature.names) + line * (2 if many else 1)


def _line(values: Sequence[Any]) -> str:
    fields = [_field(value) for value in values]
    return '""\n' if fields == [""] else ",".join(fields) + "\n"


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


def example_cell(column: Column) -> Any:
    """A value the column takes: the author's example, else one made from what is declared."""
    if column.example is not None:
        return column.example
    match column.type:
        case ColumnType.FLOAT:
            return _number(column)
        case ColumnType.INTEGER:
            return _whole(column)
        case ColumnType.BOOLEAN:
            return False
        case ColumnType.DATETIME:
            return _MOMENT
        case _:
            return _text(column)


def _number(column: Column) -> float:
    low = _first(column.exclusive_minimum, column.minimum)
    high = _first(column.exclusive_maximum, column.maximum)
    for candidate in (0.0, low, high, (low + high) / 2, low + 1.0, high - 1.0, math.nextafter(low, math.inf)):
        if math.isfinite(candidate) and _within(column, candidate):
            return float(candidate)
    return 0.0


def _whole(column: Column) -> int:
    low = _first(column.exclusive_minimum, column.minimum)
    high = _first(column.exclusive_maximum, column.maximum)
    edges = [edge for edge in (low, high) if math.isfinite(edge)]
    near = [0, *(whole for edge in edges for whole in (math.ceil(edge), math.floor(edge) + 1, math.ceil(edge) - 1))]
    return next((candidate for candidate in near if _within(column, candidate)), 0)


def _first(*bounds: float | None) -> float:
    return next((bound for bound in bounds if bound is not None), math.nan)


def _within(column: Column, value: float) -> bool:
    return (
        (column.minimum is None or value >= column.minimum)
        and (column.exclusive_minimum is None or value > column.exclusive_minimum)
        and (column.maximum is None or value <= column.maximum)
        and (column.exclusive_maximum is None or value < column.exclusive_maximum)
    )


def _text(column: Column) -> str | None:
    candidates = column.categories or _WORDS
    for candidate in candidates:
        short = candidate if column.categories or column.max_length is None else candidate[: column.max_length]
        if column.pattern is None or re.search(column.pattern, short):
            return short
    return None if column.nullable else candidates[0]


def _nested(tensor: Tensor, shape: Sequence[int]) -> Any:
    if not shape:
        return {"string": "text", "bool": False}.get(tensor.dtype, 0.0 if tensor.dtype.startswith("float") else 0)
    return [_nested(tensor, shape[1:]) for _ in range(1 if shape[0] == -1 else shape[0])]
