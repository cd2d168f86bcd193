"""Free metadata as plain values that a manifest can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from foretell.errors import PackagingError

_DEPTH_MAX = 16


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with numpy's scalars made Python's and nulls left out.

    Raises PackagingError naming the key whose value a manifest cannot hold.
    """
    return _table(metadata, "metadata", 0)


def _table(table: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
    if depth > _DEPTH_MAX:
        raise PackagingError(f"{where[:128]} is nested deeper than {_DEPTH_MAX} levels")
    for key in table:
        if not isinstance(key, str):
            raise PackagingError(f"{where} has a key {key!r}; keys must be texts")
    return {key: _value(value, f"{where}.{key}", depth) for key, value in table.items() if value is not None}


def _value(value: Any, where: str, depth: int) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool | int | float | str | datetime | date):
        return value
    if isinstance(value, Mapping):
        return _table(value, where, depth + 1)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [_value(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise PackagingError(
        f"{where} is a {type(value).__name__}; metadata holds texts, numbers, dates, lists and tables of these"
    )
