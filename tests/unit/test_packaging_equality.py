"""Equality of answers (contract §5), golden rows, and the line for the shell."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Outputs
from foretell.packaging.columns import describe_columns
from foretell.packaging.curl import curl_line
from foretell.packaging.equality import Answers, Difference, differences
from foretell.packaging.golden import GOLDEN_MAX, GOLDEN_MAX_WIDE, golden_examples, golden_rows, valid
from foretell.packaging.reading import read_sample

CLASSES = Output("classification", classes=("a", "b"), probabilities=True)


def classes(*indices: int, shares: Any = None) -> Outputs:
    return Outputs(CLASSES, indices=np.array(indices), probabilities=None if shares is None else np.array(shares))


def numbers(*values: Any) -> Outputs:
    return Outputs(Output("regression"), values=np.array(values))


def test_equal_labels_and_near_shares_do_not_differ() -> None:
    expected = Answers(np.array(["a", "b"]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert differences(expected, classes(0, 1, shares=[[0.9 + 1e-12, 0.1], [0.2, 0.8]]), 1e-9) == []


def test_another_label_differs_however_near_the_shares() -> None:
    expected = Answers(np.array(["a", "b"]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert differences(expected, classes(0, 0, shares=[[0.5, 0.5]] * 2), 1e-9) == [Difference(1, "b", "a")]


def test_shares_that_are_off_differ_and_are_shown() -> None:
    expected = Answers(np.array(["a", "a"]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    (difference,) = differences(expected, classes(0, 0, shares=[[0.9, 0.1], [0.9001, 0.0999]]), 1e-9)
    assert str(difference) == "row 1: expected [0.9, 0.1], got [0.9001, 0.0999]"


@pytest.mark.parametrize(
    ("wanted", "got", "far"),
    [
        ([100.0, 0.0], [100.0, 1e-8], []),
        ([100.0, 0.0], [100.0, 1e-5], [1]),
        ([100.0, 1.0], [100.0 + 1e-6, 1.0], [0]),
        ([np.nan, 1.0], [np.nan, 1.0], []),
        ([np.inf, 1.0], [np.inf, 1.0], []),
        ([1.0, 1.0], [np.nan, 1.0], [0]),
        ([np.nan], [np.nan], []),
    ],
)
def test_numbers_are_held_to_the_digits_that_arithmetic_has(wanted: Any, got: Any, far: list[int]) -> None:
    assert [d.row for d in differences(Answers(np.array(wanted)), numbers(*got), 1e-9)] == far


def test_several_values_a_row_are_compared_each() -> None:
    expected = Answers(np.array([[1.0, 2.0], [3.0, 4.0]]))
    (difference,) = differences(expected, numbers([1.0, 2.0], [3.0, 5.0]), 1e-9)
    assert str(difference) == "row 1: expected [3, 4], got [3, 5]"


def test_one_column_of_answers_is_the_same_as_a_row_of_them() -> None:
    assert differences(Answers(np.array([[1.0], [2.0]])), numbers(1.0, 2.0), 1e-9) == []


def test_answers_of_another_shape_differ() -> None:
    (shape,) = differences(Answers(np.array([1.0, 2.0])), numbers(1.0), 1e-9)
    assert "shape (2,)" in str(shape)
    (shares,) = differences(
        Answers(np.array(["a"]), np.array([[1.0, 0.0, 0.0]])), classes(0, shares=[[1.0, 0.0]]), 1e-9
    )
    assert "probabilities of shape (1, 3)" in str(shares)


def test_a_bare_booster_is_compared_by_what_its_numbers_mean() -> None:
    assert differences(Answers(np.array([0.9]), raw=True), classes(1, shares=[[0.1, 0.9]]), 1e-9) == []
    assert differences(Answers(np.array([0.8]), raw=True), classes(1, shares=[[0.1, 0.9]]), 1e-9) != []
    assert differences(Answers(np.array([[0.1, 0.9]]), raw=True), classes(1, shares=[[0.1, 0.9]]), 1e-9) == []
    assert differences(Answers(np.array([2.5]), raw=True), numbers(2.5), 1e-9) == []


def test_a_long_row_is_shown_clipped() -> None:
    shown = str(Difference(0, np.arange(20.0), "x" * 100))
    assert "7, ...]" in shown
    assert len(shown) < 200


# -- golden examples ---------------------------------------------------------------------------------------------------


def test_golden_rows_are_spread_over_classes_and_rows_with_nulls_come_last() -> None:
    sample = read_sample({"a": [float(i) for i in range(98)] + [None, None], "s": ["x"] * 100})
    signature = Signature(describe_columns(sample, {}), output=CLASSES)
    rows = golden_rows(sample, classes(*[0] * 95, *[1] * 5), signature)
    assert len(rows) == GOLDEN_MAX
    assert {row >= 95 for row in rows} == {True, False}
    assert rows[-2:] == [98, 99]
    assert rows[:-2] == sorted(rows[:-2])


def test_rows_that_break_what_is_declared_or_that_json_cannot_carry_are_never_golden() -> None:
    sample = read_sample({"a": [-1.0, float("inf"), 5.0]})
    signature = Signature((Column("a", minimum=0),), output=Output("regression"))
    assert golden_rows(sample, numbers(0.0, 0.0, 0.0), signature) == [2]
    assert not valid({"a": float("inf")}, signature)


def test_golden_features_are_lists_by_position_and_mappings_by_name_or_with_nulls() -> None:
    sample = read_sample([[1.0, 2.0], [None, 2.0]])
    signature = Signature(describe_columns(sample, {}), output=Output("regression"), named=False)
    full, gap = golden_examples(sample, numbers(1.0, 2.0), signature)
    assert (full.features, full.prediction, full.probabilities) == ([1.0, 2.0], 1.0, None)
    assert gap.features == {"x1": 2.0}
    named = Signature((Column("x0", nullable=True), Column("x1")), output=CLASSES)
    (by_name, _) = golden_examples(sample, classes(0, 1, shares=[[1.0, 0.0], [0.0, 1.0]]), named)
    assert (by_name.features, by_name.prediction, by_name.probabilities) == ({"x0": 1.0, "x1": 2.0}, "a", (1.0, 0.0))


def test_a_very_wide_example_keeps_fewer_golden_rows() -> None:
    sample = read_sample(np.ones((8, 1001)))
    signature = Signature(describe_columns(sample, {}), output=Output("regression"), named=False)
    assert len(golden_rows(sample, numbers(*[0.0] * 8), signature)) == GOLDEN_MAX_WIDE


def test_of_many_invalid_rows_only_so_many_are_tried() -> None:
    sample = read_sample({"a": np.arange(3000.0)})
    signature = Signature((Column("a", minimum=2900),), output=Output("regression"))
    assert golden_rows(sample, Outputs(Output("regression"), values=np.zeros(3000)), signature) == []


def test_moments_are_golden_as_text() -> None:
    sample = read_sample({"t": [np.datetime64("2026-01-01")]})
    signature = Signature((Column("t", ColumnType.DATETIME),), output=Output("regression"))
    (golden,) = golden_examples(sample, numbers(1.0), signature)
    assert golden.features == {"t": "2026-01-01T00:00:00Z"}


# -- curl --------------------------------------------------------------------------------------------------------------


def test_the_curl_line_survives_the_shell() -> None:
    features = {"it's": 'a "quoted" $HOME `text`', "ü": 1.5}
    words = shlex.split(curl_line("iris", features, port=9000, prefix=""))
    assert words[:3] == ["curl", "-s", "localhost:9000/models/iris/predict"]
    assert json.loads(words[-1]) == {"features": features}
