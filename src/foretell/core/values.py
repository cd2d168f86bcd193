"""Neutral values between the wire and the runtimes: validated rows in, predictions out.

A *row* is a tuple or list of plain values in the signature's column order (float, int, bool, str, datetime or None).
Rows gather into *inputs*, whose kind the signature's ``layout`` fixes:

matrix   every column is numeric: one float64 array of shape (rows, columns), null as NaN
table    mixed columns: one array of shape (rows,) per column, see ``Table``
tensors  named arrays, the first axis being the batch
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, ColumnType, Label, Output, Signature

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Numeric rows: float64, C-contiguous, shape (rows, columns); a null is NaN."""

    values: NDArray[np.float64]

    @property
    def count(self) -> int:
        return int(self.values.shape[0])

    def part(self, start: int, stop: int) -> Matrix:
        return Matrix(self.values[start:stop])


@dataclass(frozen=True, slots=True)
class Table:
    """Mixed rows, one array of shape (rows,) per column in the signature's order.

    float, nullable integer and nullable boolean columns: float64 with NaN for null. integer: int64. boolean: bool.
    string and category: object, holding str or None. datetime: datetime64[us] in UTC, NaT for null.
    """

    columns: dict[str, NDArray[Any]]

    @property
    def count(self) -> int:
        return len(next(iter(self.columns.values())))

    def part(self, start: int, stop: int) -> Table:
        return Table({name: values[start:stop] for name, values in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Tensors:
    """Named arrays of the signature's dtypes; the first axis of each is the batch."""

    arrays: dict[str, NDArray[Any]]

    @property
    def count(self) -> int:
        return len(next(iter(self.arrays.values())))

    def part(self, start: int, stop: int) -> Tensors:
        return Tensors({name: array[start:stop] for name, array in self.arrays.items()})


Inputs = Matrix | Table | Tensors


class Listed(NamedTuple):
    """Outputs as plain Python lists, one entry a row; what an answer is written from."""

    predictions: list[Any]
    class_names: list[str] | None
    confidences: list[float] | None
    probabilities: list[list[float]] | None


@dataclass(frozen=True)
class Outputs:
    """What a runtime gives for ``count`` rows. Exactly one of ``indices``, ``values`` and ``tensors`` is set.

    indices        classification with known classes: int array (rows,), positions in ``output.classes``
    values         regression (float64), or labels as the model gives them: shape (rows,) or (rows, outputs)
    tensors        named arrays, the first axis being the batch
    probabilities  with indices: float array (rows, classes); the confidence of a row is that of its predicted class
    """

    output: Output
    indices: NDArray[np.intp] | None = None
    values: NDArray[Any] | None = None
    tensors: dict[str, NDArray[Any]] | None = None
    probabilities: NDArray[np.floating[Any]] | None = None

    @property
    def count(self) -> int:
        if self.indices is not None:
            return len(self.indices)
        if self.values is not None:
            return len(self.values)
        return len(next(iter((self.tensors or {}).values())))

    def part(self, start: int, stop: int) -> Outputs:
        """The rows from ``start`` up to ``stop``."""
        return Outputs(
            self.output,
            None if self.indices is None else self.indices[start:stop],
            None if self.values is None else self.values[start:stop],
            None if self.tensors is None else {name: array[start:stop] for name, array in self.tensors.items()},
            None if self.probabilities is None else self.probabilities[start:stop],
        )

    def rows(self, chosen: NDArray[Any]) -> Outputs:
        """The rows that ``chosen``, a mask or positions, names."""
        return Outputs(
            self.output,
            None if self.indices is None else self.indices[chosen],
            None if self.values is None else self.values[chosen],
            None if self.tensors is None else {name: array[chosen] for name, array in self.tensors.items()},
            None if self.probabilities is None else self.probabilities[chosen],
        )

    @cached_property
    def listed(self) -> Listed:
        """The rows as lists, made once for everyone who shares this batch."""
        if self.indices is not None:
            return self._listed_classes(self.indices)
        if self.values is not None:
            return Listed(self.values.tolist(), self._names_of_labels(self.values), None, None)
        arrays = {name: array.tolist() for name, array in (self.tensors or {}).items()}
        if len(arrays) == 1:
            return Listed(next(iter(arrays.values())), None, None, None)
        rows = [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
        return Listed(rows, None, None, None)

    def _listed_classes(self, indices: NDArray[np.intp]) -> Listed:
        chosen: list[int] = indices.tolist()
        classes: tuple[Label, ...] = self.output.classes or ()
        names = display_names(self.output)
        probabilities = confidences = None
        if self.probabilities is not None:
            probabilities = self.probabilities.tolist()
            confidences = [row[index] for row, index in zip(probabilities, chosen, strict=True)]
        return Listed(
            [classes[index] for index in chosen],
            None if names is None else [names[index] for index in chosen],
            confidences,
            probabilities,
        )

    def _names_of_labels(self, labels: NDArray[Any]) -> list[str] | None:
        if self.output.kind != "classification" or labels.ndim != 1 or labels.dtype.kind not in "OUT":
            return None
        return [str(label) for label in labels.tolist()]


def display_names(output: Output) -> tuple[str, ...] | None:
    """Class names as answers show them: those the author gave, else the labels where they are texts, else none."""
    if output.class_names:
        return output.class_names
    classes = output.classes or ()
    texts = tuple(label for label in classes if isinstance(label, str))
    return texts if texts and len(texts) == len(classes) else None


def first_not_finite(outputs: Outputs) -> int | None:
    """The first row whose answer holds NaN or an infinity, for which JSON has no number; None where there is none."""
    for finite in _finite_masks(outputs):
        if not finite.all():
            return int(np.argmin(finite))
    return None


def finite_rows(outputs: Outputs) -> NDArray[np.bool_]:
    """By row, whether its answer holds neither NaN nor an infinity."""
    finite = np.ones(outputs.count, dtype=np.bool_)
    for mask in _finite_masks(outputs):
        finite &= mask
    return finite


def _finite_masks(outputs: Outputs) -> Iterator[NDArray[np.bool_]]:
    """By row, what is finite of each array that is not so as a whole; asking row by row takes ten times as long."""
    for array in (outputs.probabilities, outputs.values, *(outputs.tensors or {}).values()):
        if array is None or array.dtype.kind not in "fO":
            continue
        if array.dtype.kind == "O":
            yield np.array([_finite(value) for value in array.tolist()], dtype=np.bool_)
        elif not (finite := np.isfinite(array)).all():
            yield finite.reshape(len(array), -1).all(axis=1)


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def assemble(signature: Signature, rows: Sequence[Row]) -> Matrix | Table:
    """Gathers validated rows of one column signature into inputs. The caller has checked lengths and types."""
    if signature.layout == "matrix":
        return Matrix(np.array(rows, dtype=np.float64).reshape(len(rows), len(signature.columns)))
    transposed = zip(*rows, strict=True)
    return Table(
        {column.name: column_array(column, cells) for column, cells in zip(signature.columns, transposed, strict=True)}
    )


def column_array(column: Column, cells: Sequence[Any]) -> NDArray[Any]:
    """One table column from its cells, as ``Table`` promises."""
    match column.type:
        case ColumnType.STRING | ColumnType.CATEGORY:
            array = np.empty(len(cells), dtype=object)
            array[:] = cells
            return array
        case ColumnType.DATETIME:
            return np.array([_utc(cell) for cell in cells], dtype="datetime64[us]")
        case ColumnType.INTEGER if not column.nullable:
            return np.array(cells, dtype=np.int64)
        case ColumnType.BOOLEAN if not column.nullable:
            return np.array(cells, dtype=np.bool_)
        case _:
            return np.array(cells, dtype=np.float64)  # None becomes NaN


def _utc(cell: datetime | None) -> datetime | None:
    return None if cell is None else cell.astimezone(UTC).replace(tzinfo=None)


def join(parts: Sequence[Inputs]) -> Inputs:
    """One batch of several inputs of the same signature, in order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Matrix):
        return Matrix(np.concatenate([part.values for part in parts if isinstance(part, Matrix)]))
    if isinstance(first, Table):
        tables = [part.columns for part in parts if isinstance(part, Table)]
        return Table({name: np.concatenate([columns[name] for columns in tables]) for name in first.columns})
    arrays = [part.arrays for part in parts if isinstance(part, Tensors)]
    return Tensors({name: np.concatenate([named[name] for named in arrays]) for name in first.arrays})


def join_outputs(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several calls of one model, in order, as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    tensors = first.tensors
    return Outputs(
        first.output,
        _joined([part.indices for part in parts if part.indices is not None]),
        _joined([part.values for part in parts if part.values is not None]),
        None
        if tensors is None
        else {name: _joined([part.tensors[name] for part in parts if part.tensors]) for name in tensors},
        _joined([part.probabilities for part in parts if part.probabilities is not None]),
    )


def _joined(arrays: list[NDArray[Any]]) -> Any:
    return np.concatenate(arrays) if arrays else None
