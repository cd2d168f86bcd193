"""Holding a document against a signature: what comes out is inputs a runtime may be given, or every fault there is.

Whichever format the rows came in, they are judged by the same rules: ``core.rows`` and ``core.header`` bring them into
column order, ``core.cells`` judges each cell, ``core.tensors`` does both for tensors. What came as columns stays so:
``core.columnar`` judges each column as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.core import cells
from foretell.core.columnar import bind_array, bind_frame
from foretell.core.document import Document
from foretell.core.faults import ABSENT, Faults, clip
from foretell.core.frame import Frame
from foretell.core.header import read_records
from foretell.core.limits import BodyLimits
from foretell.core.rows import LEFT_OUT, Place, place_of, read_rows
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.tensors import bind_tensors
from foretell.core.values import Inputs, Matrix, Table, column_array


def bind(document: Document, signature: Signature, limits: BodyLimits, label: str) -> Inputs:
    """The document's rows as inputs of the signature's layout. ``label`` names model and version for people.

    Raises MalformedRequest where any fault is of the kind that makes a body unreadable, else InvalidInput where a value
    is wrong; either carries the faults. Raises nothing else, for any document a codec can give.
    """
    faults = Faults(label)
    for fault in document.faults:
        faults.include(fault)
    if signature.tensors:
        return bind_tensors(document, signature, limits, faults)
    if isinstance(document.payload, Frame):
        return bind_frame(document, document.payload, signature, limits, faults)
    if isinstance(document.payload, np.ndarray):
        return bind_array(document, document.payload, signature, limits, faults)
    read = read_records if document.origin == "csv" else read_rows
    rows = read(document, signature, limits, faults)
    columns = [list(column) for column in zip(*rows, strict=True)]
    _read_cells(document, signature, limits, columns, faults)
    faults.refuse()
    return inputs_of(signature, columns)


def _read_cells(
    document: Document, signature: Signature, limits: BodyLimits, columns: list[list[Any]], faults: Faults
) -> None:
    """Replaces each value by what rows carry, row by row; columns that are beyond doubt as a whole are left alone."""
    doubtful = [
        (index, column, columns[index])
        for index, column in enumerate(signature.columns)
        if not _plain(column, columns[index], limits)
    ]
    if not doubtful:
        return
    for row in range(len(columns[0])):
        for index, column, values in doubtful:
            value = cells.read(column, values[row], limits)
            if not isinstance(value, cells.Refusal):
                values[row] = value
            elif values[row] is not LEFT_OUT:
                _note(faults, document, (row, index), column, values[row], value)


def _plain(column: Column, values: list[Any], limits: BodyLimits) -> bool:
    """Whether every value is beyond doubt, by a look at the column as a whole."""
    kinds = set(map(type, values))
    if column.bounded or (column.type.numeric and limits.max_magnitude < math.inf):
        return False
    match column.type:
        case ColumnType.FLOAT:
            return kinds == {float}
        case ColumnType.INTEGER:
            return kinds == {int} and min(values) >= cells.INT64_MIN and max(values) <= cells.INT64_MAX
        case ColumnType.BOOLEAN:
            return kinds == {bool}
        case ColumnType.STRING | ColumnType.CATEGORY:
            free = column.pattern is None and column.max_length is None and not column.closed
            return free and kinds == {str} and max(map(len, values)) <= limits.max_text_chars
        case _:
            return False


def _cell_place(document: Document, row: int, index: int, name: str) -> Place:
    place = place_of(document)
    if document.origin == "csv":
        return (*place, row, name)
    if document.single:
        return (*place, index if isinstance(document.payload, list) else name)
    return (*place, row, index if isinstance(document.payload[row], list) else name)


def _note(  # noqa: PLR0917 - one call site
    faults: Faults, document: Document, at: tuple[int, int], column: Column, value: Any, refusal: cells.Refusal
) -> None:
    if faults.full(malformed=refusal.malformed):
        faults.count(refusal.code, malformed=refusal.malformed)
        return
    faults.add(
        refusal.code,
        f"{clip(column.name)} {refusal.message}",
        _cell_place(document, *at, column.name),
        row=None if document.single else at[0],
        expected=refusal.expected,
        got=refusal.got,
        value=ABSENT if value is None else value,
        near=refusal.near,
        malformed=refusal.malformed,
    )


def inputs_of(signature: Signature, columns: Sequence[list[Any]]) -> Matrix | Table:
    """Validated values, column by column, as inputs."""
    if signature.layout == "table":
        pairs = zip(signature.columns, columns, strict=True)
        return Table({column.name: column_array(column, values) for column, values in pairs})
    matrix = np.empty((len(columns[0]), len(columns)), dtype=np.float64)
    for index, values in enumerate(columns):
        matrix[:, index] = np.array(values, dtype=np.float64)  # None becomes NaN
    return Matrix(matrix)
