"""msgspec types for the rows of one signature: exactly what ``core.cells`` accepts, or a part of it, never more.

Where a rule cannot be said in a type with the very same meaning, there is no fast way for the signature.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import msgspec

from foretell.core.cells import INT64_MAX, INT64_MIN
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature

UNSET = msgspec.UNSET

_MAX_NAMED = 256  # msgspec looks for a key from where the last was found: keys in any order cost columns squared
_LONGEST_FLOAT = 309  # digits of the largest float64 written as a whole number
_LIST_DEPTH = 3  # of {"features": [[...]]}
_TOP_LEVEL_KEYS = frozenset({"features", "instances", "model_version"})


@dataclass(frozen=True)
class Shapes:
    """How rows of one signature look to msgspec.

    ``listed`` is a tuple with one value for each column, ``named`` a struct with one field for each column in order
    (a nullable one may be UNSET), or None where no struct can be made; ``top_level`` whether the struct may be the
    body itself. ``texts`` are the positions of columns whose values are JSON strings, ``datetimes`` those of them that
    still have to be read.
    """

    listed: Any
    named: type[msgspec.Struct] | None
    top_level: bool
    texts: tuple[int, ...]
    datetimes: tuple[int, ...]
    any_nullable: bool

    @classmethod
    def of(cls, signature: Signature, limits: BodyLimits) -> Shapes | None:
        """The shapes, or None where the signature or the limits are out of the ordinary."""
        columns = signature.columns
        if not columns or limits.max_depth < _LIST_DEPTH or limits.max_digits < _LONGEST_FLOAT:
            return None
        types = [_cell(column, limits) for column in columns]
        if None in types:
            return None
        return cls(
            listed=tuple[tuple(types)],  # type: ignore[misc]
            named=_named(columns, types),
            top_level=signature.named and _TOP_LEVEL_KEYS.isdisjoint(signature.names),
            texts=tuple(index for index, column in enumerate(columns) if not column.type.numeric),
            datetimes=tuple(index for index, column in enumerate(columns) if column.type is ColumnType.DATETIME),
            any_nullable=any(column.nullable for column in columns),
        )


def _named(columns: tuple[Column, ...], types: list[Any]) -> type[msgspec.Struct] | None:
    if len(columns) > _MAX_NAMED or any(_escaped(column.name) for column in columns):
        return None
    fields: list[Any] = [
        (f"c{index}", Union[kind, msgspec.UnsetType], UNSET) if column.nullable else (f"c{index}", kind)  # noqa: UP007
        for index, (column, kind) in enumerate(zip(columns, types, strict=True))
    ]
    rename = {f"c{index}": column.name for index, column in enumerate(columns)}
    return msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False)


def _escaped(name: str) -> bool:
    return '"' in name or "\\" in name or not name.isprintable()


def _cell(column: Column, limits: BodyLimits) -> Any:
    match column.type:
        case ColumnType.FLOAT:
            kind = _real(column)
        case ColumnType.INTEGER:
            kind = _whole(column)
        case ColumnType.BOOLEAN:
            kind = bool
        case ColumnType.DATETIME:
            kind = str
        case _:
            kind = _text(column, limits)
    return kind | None if column.nullable and kind is not None else kind


def _real(column: Column) -> Any:
    bounds = (column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum)
    if not all(bound is None or _exact(bound) for bound in bounds):
        return None
    # a whole number just beyond the largest float64 would be rounded to it: at the very edge nothing is plain
    edge = sys.float_info.max
    lows = [
        (float(bound), key) for bound, key in ((bounds[0], "ge"), (bounds[1], "gt"), (-edge, "gt")) if bound is not None
    ]
    highs = [
        (float(bound), key) for bound, key in ((bounds[2], "le"), (bounds[3], "lt"), (edge, "lt")) if bound is not None
    ]
    low, above = max(lows, key=lambda pair: (pair[0], pair[1] == "gt"))
    high, below = min(highs, key=lambda pair: (pair[0], pair[1] == "le"))
    meta: dict[str, Any] = {above: low, below: high}
    return Annotated[float, msgspec.Meta(**meta)]


def _exact(bound: float) -> bool:
    """Whether a bound, which may be a whole number of any size, is a finite float64."""
    try:
        return math.isfinite(bound) and float(bound) == bound
    except OverflowError:
        return False


def whole_bounds(column: Column) -> tuple[int, int] | None:
    """The smallest and the largest whole number an integer column takes; None where that is out of the ordinary."""
    bounds = (column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum)
    if not all(bound is None or _exact(bound) for bound in bounds):
        return None
    low, high = INT64_MIN, INT64_MAX
    if column.minimum is not None:
        low = max(low, math.ceil(column.minimum))
    if column.exclusive_minimum is not None:
        low = max(low, math.floor(column.exclusive_minimum) + 1)
    if column.maximum is not None:
        high = min(high, math.floor(column.maximum))
    if column.exclusive_maximum is not None:
        high = min(high, math.ceil(column.exclusive_maximum) - 1)
    return (low, high) if low <= high else None


def _whole(column: Column) -> Any:
    bounds = whole_bounds(column)
    return None if bounds is None else Annotated[int, msgspec.Meta(ge=bounds[0], le=bounds[1])]


def _text(column: Column, limits: BodyLimits) -> Any:
    if not column.closed:
        longest = column.longest(limits.max_text_chars)
        return Annotated[str, msgspec.Meta(max_length=longest, pattern=column.pattern)]
    categories = column.categories or ()
    if column.pattern is not None or column.max_length is not None or not categories:
        return None
    if max(map(len, categories)) > limits.max_text_chars:
        return None
    return Literal[categories]
