"""Neutral values: what is found in outputs, and how parts come together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Matrix, Outputs, Table, Tensors, assemble, first_not_finite, join, join_outputs

TWO = Output("regression", names=("a", "b"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_the_first_row_that_is_no_number_is_found(bad: float, dtype: Any) -> None:
    values = np.array([[1.0, 2.0], [bad, 4.0], [5.0, bad]], dtype=dtype)
    assert first_not_finite(Outputs(TWO, values=values)) == 1
    assert first_not_finite(Outputs(TWO, values=values[:1])) is None


def test_probabilities_and_tensors_are_looked_at_too() -> None:
    output = Output("classification", (0, 1), probabilities=True)
    indices = np.array([0, 1])
    assert first_not_finite(Outputs(output, indices, probabilities=np.array([[1.0, 0.0], [np.nan, 1.0]]))) == 1
    assert first_not_finite(Outputs(output, indices, probabilities=np.array([[1.0, 0.0], [0.0, 1.0]]))) is None
    tensors = Output("tensors", tensors=(Tensor("t", "float32", (-1, 2)),))
    assert first_not_finite(Outputs(tensors, tensors={"t": np.array([[1.0, np.inf]])})) == 0
    labels = np.array(["nan", "inf"], dtype=object)
    assert first_not_finite(Outputs(Output("classification"), values=labels)) is None


def test_parts_join_to_what_they_were() -> None:
    matrix = Matrix(np.arange(6.0).reshape(3, 2))
    joined = join([matrix.part(0, 1), matrix.part(1, 3)])
    assert isinstance(joined, Matrix) and np.array_equal(joined.values, matrix.values)
    table = Table({"a": np.array([1, 2, 3]), "b": np.array(["x", None, "z"], dtype=object)})
    rejoined = join([table.part(0, 2), table.part(2, 3)])
    assert isinstance(rejoined, Table) and rejoined.columns["b"].tolist() == ["x", None, "z"] and rejoined.count == 3
    tensors = Tensors({"t": np.arange(8.0).reshape(2, 2, 2)})
    again = join([tensors.part(0, 1), tensors.part(1, 2)])
    assert isinstance(again, Tensors) and np.array_equal(again.arrays["t"], tensors.arrays["t"]) and again.count == 2


def test_outputs_join_to_what_they_were() -> None:
    output = Output("classification", ("a", "b"), probabilities=True)
    whole = Outputs(output, np.array([0, 1, 1]), probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]))
    assert join_outputs([whole.part(0, 1), whole.part(1, 3)]).listed == whole.listed
    values = Outputs(TWO, values=np.arange(6.0).reshape(3, 2))
    assert join_outputs([values.part(0, 2), values.part(2, 3)]).listed == values.listed
    named = Outputs(Output("tensors"), tensors={"t": np.arange(3.0), "u": np.arange(3)})
    assert join_outputs([named.part(0, 2), named.part(2, 3)]).listed == named.listed


def test_rows_of_mixed_columns_become_one_array_each() -> None:
    columns = (
        Column("f", nullable=True),
        Column("i", ColumnType.INTEGER),
        Column("j", ColumnType.INTEGER, nullable=True),
        Column("b", ColumnType.BOOLEAN),
        Column("s", ColumnType.STRING, nullable=True),
    )
    table = assemble(Signature(columns), [[None, 1, None, True, "x"], [2.5, 2, 7, False, None]])
    assert isinstance(table, Table)
    assert [array.dtype.kind for array in table.columns.values()] == ["f", "i", "f", "b", "O"]
    assert np.isnan(table.columns["f"][0]) and np.isnan(table.columns["j"][0])
    assert table.columns["s"].tolist() == ["x", None]


def test_numeric_rows_become_one_matrix_with_nan_for_null() -> None:
    matrix = assemble(Signature((Column("a", nullable=True), Column("b", ColumnType.INTEGER))), [[None, 2], [1.5, 3]])
    assert isinstance(matrix, Matrix) and matrix.values.flags.c_contiguous
    assert np.isnan(matrix.values[0, 0]) and matrix.values[1].tolist() == [1.5, 3.0]
