"""One column of values held against what the signature says of it: the rules of ``core.cells``, all rows at once.

The invariant, held by test: a value is refused here exactly where ``cells.read`` refuses it, and with the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core import cells
from foretell.core.bounds import at_least, at_most
from foretell.core.cells import Refusal
from foretell.core.document import Unreadable
from foretell.core.frame import Cells
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType
from foretell.core.values import column_array

Mask = NDArray[np.bool_]

_FIRST_MOMENT = np.datetime64("0001-01-01T00:00:00.000000", "us")
_LAST_MOMENT = np.datetime64("9999-12-31T23:59:59.999999", "us")
_WANTED = {
    ColumnType.FLOAT: "a number",
    ColumnType.INTEGER: "a whole number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.STRING: "a string",
    ColumnType.CATEGORY: "a string",
    ColumnType.DATETIME: "a date and time with a time zone",
}


@dataclass(slots=True, eq=False)
class Verdict:
    """``values`` as ``core.values.Table`` has a column of the kind, for the rows in none of the masks of ``refused``.

    ``refused`` says by code which rows are not taken; no row stands in two masks, and no mask is empty.
    """

    values: NDArray[Any]
    refused: dict[str, Mask] = field(default_factory=dict)


def judge(column: Column, given: Cells, limits: BodyLimits, *, positional: bool = False) -> Verdict:
    """Every value of ``given`` held against ``column``. ``positional`` is as ``Frame`` has it. Raises nothing."""
    judging = _Judging(column, given, limits, positional=positional)
    return Verdict(judging.values(), judging.refused)


def refusal(column: Column, given: Cells, row: int, limits: BodyLimits) -> Refusal:
    """Why ``judge`` refused the value of ``row``, in the words of ``cells.read``."""
    if given.nulls is not None and given.nulls[row]:
        value: Any = None
    elif given.foreign is not None or (given.values.dtype.kind == "M" and column.type is not ColumnType.DATETIME):
        got = given.foreign or "timestamp"
        return Refusal("wrong_type", f"must be {_WANTED[column.type]}, got {got}", str(column.type), got)
    else:
        value = value_at(given, row)
    read = cells.read(column, "" if given.values.dtype.kind == "M" and value is not None else value, limits)
    if not isinstance(read, Refusal):
        raise AssertionError(f"the column refused what its cells take: {column}")
    return read


def value_at(given: Cells, row: int) -> Any:
    """The value of a row as JSON would have brought it; a moment as text."""
    value = given.values[row]
    if given.categories is not None:
        return given.categories[int(value)]
    match given.values.dtype.kind:
        case "O":
            return value
        case "M":
            return f"{value}Z"
        case "f" if not np.isfinite(value):
            return Unreadable("not_finite", "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity")
        case _:
            return value.item()


class _Judging:
    """One column on its way to a verdict. ``refused`` fills while ``values`` is made."""

    def __init__(self, column: Column, given: Cells, limits: BodyLimits, *, positional: bool) -> None:
        self._column, self._given, self._limits, self._positional = column, given, limits, positional
        self._kind = "foreign" if given.foreign is not None else "O" if given.categories is not None else ""
        self._kind = self._kind or given.values.dtype.kind
        self.refused: dict[str, Mask] = {}
        nulls = given.nulls
        if positional and column.nullable and self._kind == "f":
            nulls = np.isnan(given.values)
        self._nulls = nulls if nulls is not None and nulls.any() else None
        self._settled = np.zeros(len(given.values), dtype=np.bool_)
        if self._nulls is not None and not column.nullable:
            self._refuse("null_not_allowed", self._nulls)
        elif self._nulls is not None:
            self._settled |= self._nulls

    def values(self) -> NDArray[Any]:
        if self._kind == "f":
            self._refuse("not_finite", ~np.isfinite(self._given.values))
        match self._column.type:
            case ColumnType.FLOAT | ColumnType.INTEGER if self._kind in "fiu":
                return self._numbers()
            case ColumnType.BOOLEAN if self._kind == "b" or (self._positional and self._kind in "fiu"):
                return self._booleans()
            case ColumnType.STRING | ColumnType.CATEGORY if self._kind == "O":
                return self._texts()
            case ColumnType.DATETIME if self._kind == "M":
                return self._moments()
            case ColumnType.DATETIME if self._kind == "O":
                return self._texts()
            case _:
                self._refuse("wrong_type", np.ones(len(self._settled), dtype=np.bool_))
                blank = None if self._column.nullable else _BLANK[self._column.type]
                return column_array(self._column, [blank] * len(self._settled))

    def _refuse(self, code: str, mask: Mask) -> None:
        """Refuses the rows of ``mask`` that are not settled yet."""
        fresh = mask & ~self._settled
        if fresh.any():
            self.refused[code] = self.refused[code] | fresh if code in self.refused else fresh
            self._settled |= fresh

    def _with_nulls(self, values: NDArray[Any]) -> NDArray[Any]:
        """``values`` as float64, NaN for null, where the column may be null; else as they are."""
        if not self._column.nullable:
            return values
        values = values.astype(np.float64)
        if self._nulls is not None:
            values[self._nulls] = np.nan
        return values

    # -- numbers and booleans ------------------------------------------------------------------------------------------

    def _numbers(self) -> NDArray[Any]:
        values = self._given.values
        if self._column.type is ColumnType.FLOAT:
            values = values.astype(np.float64, copy=False)
            self._bounded(values, whole=False)
            return self._with_nulls(values)
        if self._kind == "f":
            self._refuse("wrong_type", np.floor(values) != values)
            # as float64: the edges are no numbers of a narrower type
            wide = np.where(self._settled, 0.0, values).astype(np.float64)
            self._refuse("out_of_range", (wide < -(2.0**63)) | (wide >= 2.0**63))
            values = np.where(self._settled, 0.0, wide).astype(np.int64)
        elif self._kind == "u":
            self._refuse("out_of_range", values > cells.INT64_MAX)
            values = np.where(self._settled, 0, values).astype(np.int64)
        self._bounded(values, whole=True)
        return self._with_nulls(values.astype(np.int64, copy=False))

    def _bounded(self, values: NDArray[Any], whole: bool) -> None:
        column, limit = self._column, self._limits.max_magnitude
        if limit < math.inf:
            self._refuse("out_of_range", np.abs(values.astype(np.float64)) > limit)
        if column.minimum is not None:
            self._refuse("out_of_bounds", values < at_least(column.minimum, whole))
        if column.exclusive_minimum is not None:
            self._refuse("out_of_bounds", values <= at_most(column.exclusive_minimum, whole))
        if column.maximum is not None:
            self._refuse("out_of_bounds", values > at_most(column.maximum, whole))
        if column.exclusive_maximum is not None:
            self._refuse("out_of_bounds", values >= at_least(column.exclusive_maximum, whole))

    def _booleans(self) -> NDArray[Any]:
        values = self._given.values
        if self._kind != "b":
            self._refuse("wrong_type", (values != 0) & (values != 1))
            values = values == 1
        return self._with_nulls(values)

    # -- texts and moments ---------------------------------------------------------------------------------------------

    def _texts(self) -> NDArray[Any]:
        """Strings and categories, and moments written as texts."""
        if self._given.categories is not None:
            return self._encoded(self._given.categories)
        texts = self._given.values.tolist()
        if self._column.type is not ColumnType.DATETIME and self._plain(texts):
            made = self._given.values
        else:
            made = self._read(texts)
        if self._nulls is not None and made.dtype == object:
            made = made.copy()
            made[self._nulls] = None
        return made

    def _plain(self, texts: list[Any]) -> bool:
        column = self._column
        if column.pattern is not None or column.max_length is not None or column.closed or self._nulls is not None:
            return False
        return max(map(len, texts), default=0) <= self._limits.max_text_chars

    def _read(self, texts: list[Any]) -> NDArray[Any]:
        """Each text read on its own, but for those of settled rows."""
        refused: dict[str, Mask] = {}
        values: list[Any] = [None] * len(texts)
        for row in np.flatnonzero(~self._settled).tolist():
            value = cells.read(self._column, texts[row], self._limits)
            if isinstance(value, Refusal):
                refused.setdefault(value.code, np.zeros(len(texts), dtype=np.bool_))[row] = True
            else:
                values[row] = value
        for code, mask in refused.items():
            self._refuse(code, mask)
        return column_array(self._column, values)

    def _encoded(self, categories: tuple[str, ...]) -> NDArray[Any]:
        """Each category that is used read once."""
        codes = np.where(self._settled, -1, self._given.values.astype(np.int64))
        used = np.unique(codes[codes >= 0]).tolist()
        read = {code: cells.read(self._column, categories[code], self._limits) for code in used}
        refused: dict[str, list[int]] = {}
        for code, value in read.items():
            if isinstance(value, Refusal):
                refused.setdefault(value.code, []).append(code)
        for why, wrong in refused.items():
            self._refuse(why, np.isin(codes, wrong))
        values = column_array(self._column, [*(None if isinstance(read[c], Refusal) else read[c] for c in used), None])
        made: NDArray[Any] = values[np.searchsorted(used, codes) if used else np.zeros(len(codes), dtype=np.intp)]
        made[codes < 0] = None
        return made

    def _moments(self) -> NDArray[Any]:
        values = self._given.values
        self._refuse("invalid_datetime", ~((values >= _FIRST_MOMENT) & (values <= _LAST_MOMENT)))
        if self._nulls is not None:
            values = np.where(self._nulls, np.datetime64("NaT", "us"), values)
        return values


_BLANK = {
    ColumnType.FLOAT: 0.0,
    ColumnType.INTEGER: 0,
    ColumnType.BOOLEAN: False,
    ColumnType.STRING: None,
    ColumnType.CATEGORY: None,
    ColumnType.DATETIME: None,
}
