"""Example data: named columns of plain values, from which the signature, statistics and golden examples are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import ColumnType, Signature
from foretell.core.values import Inputs, Matrix, Table
from foretell.errors import PackagingError

_TEXTS = (ColumnType.STRING, ColumnType.CATEGORY)
_NUMERIC: dict[ColumnType, Any] = {
    ColumnType.FLOAT: np.float64,
    ColumnType.INTEGER: np.int64,
    ColumnType.BOOLEAN: np.bool_,
}


@dataclass(frozen=True)
class SampleColumn:
    """One column of the example.

    ``values`` has one entry a row: float64, int64 (only without nulls), bool (only without nulls), datetime64[us] in
    UTC, or objects holding str or None. A null is NaN, NaT or None. ``categories`` are those its dtype declares, where
    the example came with a categorical dtype.
    """

    name: str
    type: ColumnType
    values: NDArray[Any]
    categories: tuple[str, ...] | None = None

    @cached_property
    def nulls(self) -> NDArray[np.bool_]:
        """Which rows are null."""
        if self.values.dtype == object:
            return np.array([cell is None for cell in self.values], dtype=np.bool_)
        if self.values.dtype.kind in "Mf":
            return np.asarray(np.isnat(self.values) if self.values.dtype.kind == "M" else np.isnan(self.values))
        return np.zeros(len(self.values), dtype=np.bool_)

    def cell(self, row: int) -> Any:
        """One value as it would stand in a request: float, int, bool, str, RFC 3339 text, or None."""
        if self.nulls[row]:
            return None
        value = self.values[row].item() if isinstance(self.values[row], np.generic) else self.values[row]
        match self.type:
            case ColumnType.INTEGER:
                return int(value)
            case ColumnType.BOOLEAN:
                return bool(value)
            case ColumnType.DATETIME:
                return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
            case _:
                return value

    def take(self, rows: NDArray[np.intp]) -> SampleColumn:
        return replace(self, values=self.values[rows])

    def retyped(self, wanted: ColumnType) -> SampleColumn:
        """The column under a type the author declares. Raises PackagingError where its values are not of that type."""
        present = self.values[~self.nulls]
        if wanted is self.type or (self.type in _TEXTS and wanted in _TEXTS):
            return replace(self, type=wanted)
        if not len(present):
            return replace(self, type=wanted, values=_empty(wanted, len(self.values)))
        if wanted is ColumnType.DATETIME and self.type in _TEXTS:
            return replace(self, type=wanted, values=_datetimes(self.name, self.values))
        if wanted in _NUMERIC and self.type.numeric and _fits(present, _NUMERIC[wanted]):
            dtype = np.float64 if self.nulls.any() else _NUMERIC[wanted]
            return replace(self, type=wanted, values=self.values.astype(dtype))
        raise PackagingError(
            f"column {self.name!r} is declared {wanted}, but the example holds {self.type} values "
            f"such as {str(present[0])[:64]!r}",
            hint="declare the type the model was trained with, or give an example that has it",
        )


@dataclass(frozen=True)
class Sample:
    """Example rows. ``named`` says whether the column names are the author's own or made up from positions."""

    columns: tuple[SampleColumn, ...]
    named: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def count(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    def column(self, name: str) -> SampleColumn:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Sample:
        """Those rows, in that order."""
        index = np.asarray(rows, dtype=np.intp)
        return replace(self, columns=tuple(column.take(index) for column in self.columns))

    def without(self, name: str) -> Sample:
        return replace(self, columns=tuple(column for column in self.columns if column.name != name))

    def ordered(self, names: Sequence[str]) -> Sample:
        """The columns of those names, in that order. Raises KeyError."""
        return replace(self, columns=tuple(self.column(name) for name in names))

    def renamed(self, names: Sequence[str], *, named: bool) -> Sample:
        """The same columns, by position, under other names."""
        pairs = zip(self.columns, names, strict=True)
        return Sample(tuple(replace(column, name=name) for column, name in pairs), named)

    def row(self, row: int) -> dict[str, Any]:
        """One row as a request would send it; nulls stand as None."""
        return {column.name: column.cell(row) for column in self.columns}

    def inputs(self, signature: Signature) -> Inputs:
        """The rows as validated inputs of that signature, whose columns are these, in this order."""
        if signature.layout == "matrix":
            stacked = np.column_stack([column.values.astype(np.float64) for column in self.columns])
            return Matrix(np.ascontiguousarray(stacked))
        arrays = {}
        for described, column in zip(signature.columns, self.columns, strict=True):
            narrow = column.values.dtype.kind in "ib"
            arrays[column.name] = column.values.astype(np.float64) if narrow and described.nullable else column.values
        return Table(arrays)


def spread(count: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` row numbers out of ``count``, evenly spaced, the first and the last among them."""
    if count <= most:
        return np.arange(count, dtype=np.intp)
    return np.linspace(0, count - 1, most).astype(np.intp)


def _fits(values: NDArray[Any], dtype: Any) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.all(values.astype(dtype) == values))


def _empty(kind: ColumnType, count: int) -> NDArray[Any]:
    if kind in (ColumnType.STRING, ColumnType.CATEGORY):
        return np.full(count, None, dtype=object)
    if kind is ColumnType.DATETIME:
        return np.full(count, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(count, np.nan)


def _datetimes(name: str, values: NDArray[Any]) -> NDArray[Any]:
    return np.array(
        [None if cell is None else _utc(name, row, cell) for row, cell in enumerate(values)], "datetime64[us]"
    )


def _utc(name: str, row: int, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PackagingError(
            f"column {name!r} is declared datetime, but row {row} of the example holds {text[:64]!r}, "
            "which is no RFC 3339 date and time"
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
