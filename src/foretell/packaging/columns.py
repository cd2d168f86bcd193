"""Columns of a signature from example data: types and null-ness as seen, bounds only as declared (contract §2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from foretell.core.identity import closest
from foretell.core.signature import Column, ColumnType, Signature
from foretell.errors import ManifestError, PackagingError
from foretell.packaging.sample import Sample, SampleColumn

Declared = Mapping[str, Mapping[str, Any]]

_DECLARABLE = tuple(field.name for field in fields(Column) if field.name != "name")
_TEXTS = (ColumnType.STRING, ColumnType.CATEGORY)


def retyped(sample: Sample, declare: Declared) -> Sample:
    """The sample under the types the author declares. Raises PackagingError for a column or key that is not known."""
    for name, given in declare.items():
        if name not in sample.names:
            raise PackagingError(
                f"declare names a column {name!r} that the example does not have{_meant(name, sample.names)}"
            )
        for key in given:
            if key not in _DECLARABLE:
                known = f"; known are {', '.join(_DECLARABLE)}"
                raise PackagingError(f"declare[{name!r}] has an unknown key {key!r}{_meant(key, _DECLARABLE) or known}")
    return Sample(tuple(_retyped(column, declare.get(column.name, {})) for column in sample.columns), sample.named)


def describe_columns(sample: Sample, declare: Declared, first: int = 0) -> tuple[Column, ...]:
    """The sample's columns for a signature; ``first`` is the row whose values become the examples.

    Nothing observed is enforced: a column is nullable where nulls were seen, categories are open. What ``declare``
    says is taken over and enforced. Raises PackagingError where it contradicts itself.
    """
    return tuple(_describe(column, declare.get(column.name, {}), first) for column in sample.columns)


def _retyped(column: SampleColumn, given: Mapping[str, Any]) -> SampleColumn:
    wanted = given.get("type")
    if wanted is None:
        return column.retyped(ColumnType.CATEGORY) if given.get("categories") and column.type in _TEXTS else column
    try:
        return column.retyped(ColumnType(wanted))
    except ValueError:
        kinds = ", ".join(ColumnType)
        raise PackagingError(f"declare[{column.name!r}]: type {wanted!r} is none of {kinds}") from None


def _describe(column: SampleColumn, given: Mapping[str, Any], first: int) -> Column:
    seen: dict[str, Any] = {"name": column.name, "type": str(column.type)}
    if column.nulls.any():
        seen["nullable"] = True
    if column.type is ColumnType.CATEGORY:
        seen["categories"] = sorted({cell for cell in column.values if cell is not None} | set(column.categories or ()))
    example = _example(column, first)
    if example is not None:
        seen["example"] = example
    seen.update({key: _plain(value) for key, value in given.items() if value is not None})
    if not seen.get("categories"):
        seen.pop("categories", None)
    try:
        # the manifest's own reader judges what was declared, so that what is written can always be read
        document = {"columns": [seen], "output": {"kind": "regression"}}
        described = Signature.from_document(document).columns[0]
    except ManifestError as error:
        raise PackagingError(f"column {column.name!r} cannot be declared so: {error}") from error
    return described


def _example(column: SampleColumn, first: int) -> Any:
    """The value of the first row, or of the next that has one."""
    present = (~column.nulls).nonzero()[0]
    after = present[present >= first]
    chosen = after if len(after) else present
    return column.cell(int(chosen[0])) if len(chosen) else None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return sorted(value) if isinstance(value, set | frozenset) else list(value)
    return value.item() if hasattr(value, "item") else value


def _meant(word: str, options: tuple[str, ...]) -> str:
    near = closest(str(word), options)
    return f"; did you mean {near!r}?" if near else ""
