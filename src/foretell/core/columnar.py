"""Holding columns and arrays against a signature, a column at a time: the rules of ``core.cells``, without a loop.

What a column refuses is found for all rows at once; for the few refusals an answer has room for, ``core.cells`` is
asked for its words, so that a fault reads the same whichever format the row came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.document import Document
from foretell.core.faults import ABSENT, KEPT, Faults, clip, listed
from foretell.core.frame import Cells, Frame
from foretell.core.judge import Verdict, judge, refusal, value_at
from foretell.core.limits import BodyLimits
from foretell.core.rows import check_count, check_lengths, single_expected
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Matrix, Table

_Doubtful = tuple[Column, Cells, Verdict]


def bind_frame(
    document: Document, frame: Frame, signature: Signature, limits: BodyLimits, faults: Faults
) -> Matrix | Table:
    """The frame's rows as inputs; raises as ``validation.bind`` promises."""
    check_count(document, frame.count, limits, faults)
    if document.single and frame.count > 1:
        raise single_expected(document)
    found = _in_order(frame, signature, faults)
    if (matrix := _plain_matrix(found, frame.count, signature, limits)) is not None:
        faults.refuse()
        return Matrix(matrix)
    verdicts = {
        name: judge(column, found[name], limits, positional=frame.positional)
        for name, column in zip(signature.names, signature.columns, strict=True)
        if name in found
    }
    doubtful = [
        (column, found[column.name], verdicts[column.name])
        for column in signature.columns
        if column.name in verdicts and verdicts[column.name].refused
    ]
    if doubtful:
        _note_refused(doubtful, limits, faults, single=document.single)
    faults.refuse()
    return _inputs(signature, verdicts, frame.count)


def bind_array(
    document: Document, array: NDArray[Any], signature: Signature, limits: BodyLimits, faults: Faults
) -> Matrix | Table:
    """An array's rows, columns by position, as inputs; raises as ``validation.bind`` promises.

    An array of one dimension is a row where one row is asked for, else the values of a model's only column. A float64
    array in row order that is beyond doubt reaches the model as it came, without a copy.
    """
    rows = _rows_of(document, array, signature, faults)
    check_count(document, len(rows), limits, faults)
    if document.single and len(rows) > 1:
        raise single_expected(document)
    width = range(rows.shape[1])
    check_lengths(document, signature, [width], [width], faults)
    if _beyond_doubt(rows, signature, limits):
        return Matrix(np.ascontiguousarray(rows, dtype=np.float64))
    columns = tuple(_cells_of(rows[:, index]) for index in width)
    return bind_frame(document, Frame(signature.names, columns, len(rows), positional=True), signature, limits, faults)


def _rows_of(document: Document, array: NDArray[Any], signature: Signature, faults: Faults) -> NDArray[Any]:
    if array.ndim == 2:
        return array
    if array.ndim == 1 and document.single:
        return array.reshape(1, -1)
    if array.ndim == 1 and len(signature.columns) == 1:
        return array.reshape(-1, 1)
    wanted = f"an array of shape [{'' if document.single else 'rows, '}{len(signature.columns)}]"
    shape = list(array.shape)
    detail = f"Model {faults.label} takes {wanted} here, got one of shape {clip(str(shape))}."
    faults.add("wrong_shape", f"expected {wanted}", ("rows",), got=clip(str(shape)), malformed=True, detail=detail)
    raise faults.error()


def _beyond_doubt(rows: NDArray[Any], signature: Signature, limits: BodyLimits) -> bool:
    return _any_number(signature, limits) and rows.dtype.kind in "fiu" and bool(np.isfinite(rows).all())


def _any_number(signature: Signature, limits: BodyLimits) -> bool:
    """Whether every column takes any finite number, so that nothing is to be asked but whether all are."""
    free = all(column.type is ColumnType.FLOAT and not column.bounded for column in signature.columns)
    return free and limits.max_magnitude == np.inf


def _plain_matrix(
    found: Mapping[str, Cells], count: int, signature: Signature, limits: BodyLimits
) -> NDArray[np.float64] | None:
    """The columns as one matrix where all are numbers beyond doubt; None where each is to be judged."""
    if signature.layout == "table" or not _any_number(signature, limits) or len(found) < len(signature.names):
        return None
    columns = [found[name] for name in signature.names]
    if any(
        each.nulls is not None or each.foreign or each.categories is not None or each.values.dtype.kind not in "fiu"
        for each in columns
    ):
        return None
    matrix = _matrix([each.values for each in columns], count)
    return matrix if np.isfinite(matrix).all() else None


def _cells_of(values: NDArray[Any]) -> Cells:
    return Cells(values.astype(object) if values.dtype.kind == "U" else values)


def _in_order(frame: Frame, signature: Signature, faults: Faults) -> Mapping[str, Cells]:
    """The columns the signature has, by name; notes those it has not, those missing and those that stand twice."""
    found: dict[str, Cells] = {}
    for name, given in zip(frame.names, frame.columns, strict=True):
        if name not in signature.known:
            _note_unknown(name, signature, faults)
        elif name in found:
            message = f"the body has the column '{clip(name)}' more than once"
            faults.add("column_repeated", message, ("columns", name), malformed=True)
        else:
            found[name] = given
    for column in signature.columns:
        if column.name not in found and not column.nullable:
            message = f"the column '{clip(column.name)}' is missing"
            faults.add("missing_column", message, ("columns", column.name), expected=str(column.type))
        elif column.name not in found:
            found[column.name] = _absent(frame.count)
    return found


def _absent(count: int) -> Cells:
    return Cells(np.zeros(count), np.ones(count, dtype=np.bool_))


def _note_unknown(name: str, signature: Signature, faults: Faults) -> None:
    if name.startswith("__index_level_"):
        message = f"the column '{clip(name)}' is the index of a pandas frame; write the frame without it"
    else:
        message = f"the model has no column '{clip(name)}'; it takes {listed(signature.names)}"
    faults.add("unknown_column", message, ("columns", name), near=(name, signature.names))


def _note_refused(doubtful: Sequence[_Doubtful], limits: BodyLimits, faults: Faults, *, single: bool) -> None:
    """Counts every refused value, and notes the first of them row by row."""
    totals: dict[str, int] = {}
    for *_, verdict in doubtful:
        for code, mask in verdict.refused.items():
            totals[code] = totals.get(code, 0) + int(np.count_nonzero(mask))
    for row, column, given in _first(doubtful):
        why = refusal(column, given, row, limits)
        totals[why.code] -= 1
        shown = why.code != "null_not_allowed" and given.foreign is None
        faults.add(
            why.code,
            f"{clip(column.name)} {why.message}",
            ("rows", row, column.name),
            row=None if single else row,
            expected=why.expected,
            got=why.got,
            value=value_at(given, row) if shown else ABSENT,
            near=why.near,
        )
    for code, times in totals.items():
        if times:
            faults.count(code, malformed=False, times=times)


def _first(doubtful: Sequence[_Doubtful]) -> Iterator[tuple[int, Column, Cells]]:
    """The first refused cells in the order of rows, as many as are kept."""
    places = []
    for index, (*_, verdict) in enumerate(doubtful):
        refused = np.logical_or.reduce(list(verdict.refused.values()))
        places += [(int(row), index) for row in np.flatnonzero(refused)[:KEPT]]
    for row, index in sorted(places)[:KEPT]:
        column, given, _ = doubtful[index]
        yield row, column, given


def _inputs(signature: Signature, verdicts: Mapping[str, Verdict], count: int) -> Matrix | Table:
    if signature.layout == "table":
        return Table({name: verdicts[name].values for name in signature.names})
    return Matrix(_matrix([verdicts[name].values for name in signature.names], count))


def _matrix(columns: Sequence[NDArray[Any]], count: int) -> NDArray[np.float64]:
    matrix = np.empty((count, len(columns)), dtype=np.float64)
    for index, values in enumerate(columns):
        matrix[:, index] = values
    return matrix
