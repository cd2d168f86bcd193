"""From a JSON payload to rows in column order: the right kind of body for the path, the right shape of every row.

A body of the wrong kind or shape is refused here, before any value is looked at: what would be said about the values
would only lead astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foretell.core.cells import kind_of
from foretell.core.document import Document, Unreadable
from foretell.core.faults import Faults, clip, listed, malformed
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, Signature, Tensor
from foretell.errors import MalformedRequest

LEFT_OUT = Unreadable("left_out", "")
"""Stands in a row where a required column is missing; the fault is noted already."""

Place = tuple[str | int, ...]


def read_rows(document: Document, signature: Signature, limits: BodyLimits, faults: Faults) -> list[list[Any]]:
    """Each row as a list in column order; None for a nullable column left out, LEFT_OUT for a required one.

    Raises where rows are not of the right shape; notes unknown and missing columns.
    """
    _note_beside(document, signature, faults)
    rows = _single(document, signature, faults) if document.single else _many(document, limits, faults)
    check_lengths(document, signature, [row for row in rows if isinstance(row, list)], rows, faults)
    aligned: list[list[Any]] = []
    for index, row in enumerate(rows):
        place = place_of(document) if document.single else (*place_of(document), index)
        if isinstance(row, list):
            aligned.append(row)
        elif isinstance(row, dict):
            number = None if document.single else index
            _note_unknown(signature, row, place, number, faults)
            aligned.append(_by_name(signature, row, place, number, faults))
        else:
            message = f"expected a row as a list or an object, got {kind_of(row)}"
            faults.add("wrong_shape", message, place, row=index, got=kind_of(row), malformed=True)
    if len(aligned) < len(rows):
        raise faults.error()
    return aligned


def place_of(document: Document) -> Place:
    """Where the rows stand, as the steps of a JSON pointer."""
    return tuple(document.place.split("/")[1:]) if document.origin == "json" else ("rows",)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 value``, ``4 values``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# -- the right kind of body --------------------------------------------------------------------------------------------


def _note_beside(document: Document, signature: Signature, faults: Faults) -> None:
    for key in document.beside:
        if key in signature.names:
            message = f"the column '{clip(key)}' stands beside 'features'; it belongs inside"
            faults.add("unknown_field", message, (key,))
        else:
            near = (key, ("features", "instances", "model_version"))
            faults.add("unknown_field", f"'{clip(key)}' is not part of a request", (key,), near=near)


def _single(document: Document, signature: Signature, faults: Faults) -> list[Any]:
    payload = document.payload
    if not document.place:
        _check_top_level(payload, signature, faults)
    elif isinstance(payload, list) and payload and all(isinstance(item, list | dict) for item in payload):
        raise single_expected(document)
    elif not isinstance(payload, list | dict):
        refuse_shape(document, "a list of values or an object by column name", faults)
    return [payload]


def _many(document: Document, limits: BodyLimits, faults: Faults) -> list[Any]:
    payload = document.payload
    if document.origin == "json" and (isinstance(payload, dict) or (isinstance(payload, list) and _flat(payload))):
        raise batch_expected(document)
    if not isinstance(payload, list):
        refuse_shape(document, "a list of rows", faults)
    check_count(document, len(payload), limits, faults)
    rows: list[Any] = payload
    return rows


def _flat(payload: list[Any]) -> bool:
    return bool(payload) and not any(isinstance(item, list | dict) for item in payload)


def _check_top_level(payload: dict[str, Any], signature: Signature, faults: Faults) -> None:
    if signature.named:
        some_known = not payload.keys().isdisjoint(signature.names)
        if some_known or all(column.nullable for column in signature.columns):
            return
    refuse_missing(payload, signature, faults)


def refuse_missing(payload: dict[str, Any], signature: Signature, faults: Faults) -> None:
    """Raises: the body has no ``features`` and is nothing else that could be meant."""
    items: tuple[Column | Tensor, ...] = (*signature.columns, *signature.tensors)
    names = [item.name for item in items]
    holds = f"the body has {listed(payload)}" if payload else "the body is an empty object"
    wanted = f'send {{"features": [...]}} with {counted(len(names), "value")}: {listed(names)}'
    detail = f"'features' is missing: {holds}. To ask model {faults.label}, {wanted}."
    near = (next(iter(payload)), ("features", *names)) if len(payload) == 1 else None
    message = f"'features' is missing; {holds}"
    faults.add("features_missing", message, near=near, malformed=True, detail=detail)
    raise faults.error()


def refuse_shape(document: Document, wanted: str, faults: Faults) -> None:
    """Raises: what stands in place of the rows is no such thing."""
    got = kind_of(document.payload)
    faults.add("wrong_shape", f"expected {wanted}, got {got}", place_of(document), got=got, malformed=True)
    raise faults.error()


def batch_expected(document: Document) -> MalformedRequest:
    """One row was sent where many are taken."""
    return malformed(
        "batch_expected",
        "expected a list of rows, got one row",
        "This path takes many rows and got one: send a list of rows here, or the one row to the path that ends in "
        "/predict instead of /predict/batch.",
        place=place_of(document),
    )


def single_expected(document: Document) -> MalformedRequest:
    """Many rows were sent where one is taken."""
    return malformed(
        "single_expected",
        "expected one row, got several",
        "This path takes one row and got several: send them to the path that ends in /predict/batch.",
        place=place_of(document),
    )


def check_count(document: Document, count: int, limits: BodyLimits, faults: Faults) -> None:
    """Raises where there is no row, or more rows than allowed."""
    place = place_of(document)
    if count == 0:
        detail = "The body holds no rows; send at least one."
        faults.add("no_rows", "expected at least one row", place, expected=1, got=0, malformed=True, detail=detail)
        raise faults.error()
    if not document.single and count > limits.max_rows:
        # a CSV body is read only as far as it takes to know that there are too many
        got = None if document.origin == "csv" else count
        more = "more" if got is None else got
        detail = f"At most {limits.max_rows} rows are taken in one request, got {more}; send them in parts."
        message = f"expected at most {counted(limits.max_rows, 'row')}"
        faults.add("too_many_rows", message, place, expected=limits.max_rows, got=got, malformed=True, detail=detail)
        raise faults.error()


# -- the right shape of every row --------------------------------------------------------------------------------------


def check_lengths(
    document: Document, signature: Signature, lists: Sequence[Sequence[Any]], rows: Sequence[Any], faults: Faults
) -> None:
    """Raises where a row given as a list has not one value for each column. ``lists`` are those among ``rows``."""
    wanted = len(signature.columns)
    lengths = set(map(len, lists))
    if lengths <= {wanted}:
        return
    message = f"expected {counted(wanted, 'value')}: {listed(signature.names)}"
    place = place_of(document)
    if len(lengths) == 1:
        got = lengths.pop()
        detail = f"Model {faults.label} takes {counted(wanted, 'feature')}, got {got}."
        faults.add("wrong_feature_count", message, place, expected=wanted, got=got, malformed=True, detail=detail)
        raise faults.error()
    for index, row in enumerate(rows):
        if isinstance(row, list) and len(row) != wanted:
            where = (*place, index)
            faults.add("ragged_rows", message, where, row=index, expected=wanted, got=len(row), malformed=True)
    raise faults.error()


def _note_unknown(signature: Signature, row: dict[str, Any], place: Place, index: int | None, faults: Faults) -> None:
    known = signature.known
    if row.keys() <= known:
        return
    takes = listed(signature.names)
    for key in row:
        if key not in known:
            message = f"the model has no column '{clip(key)}'; it takes {takes}"
            faults.add("unknown_column", message, (*place, key), row=index, near=(key, signature.names))


def _by_name(signature: Signature, row: dict[str, Any], place: Place, index: int | None, faults: Faults) -> list[Any]:
    values = []
    for column in signature.columns:
        value = row.get(column.name, None if column.nullable else LEFT_OUT)
        if value is LEFT_OUT:
            message = f"the column '{clip(column.name)}' is missing"
            faults.add("missing_column", message, (*place, column.name), row=index, expected=str(column.type))
        values.append(value)
    return values
