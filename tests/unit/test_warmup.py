"""Trying a model: the rows it is tried with, and what its answers must look like."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from foretell.core.manifest import Golden
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors
from foretell.errors import ArtifactError, GoldenMismatch, LoadFailed
from foretell.lifecycle.warmup import check_outputs, trial_of, warm
from foretell.testing import FAKE_SIGNATURE, FakeModel
from tests.versions import manifest_of

NUMBER, CLASSES = Output("regression"), Output("classification", ("a", "b"), probabilities=True)
SEVERAL = Output("regression", names=("low", "high"))
TENSOR = Output("tensors", tensors=(Tensor("t", "float32", (-1, 2)),))


def signature(*columns: Column, output: Output = NUMBER, named: bool = True) -> Signature:
    return Signature(columns or (Column("x"),), output=output, named=named)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        (Column("c"), 0.0),
        (Column("c", minimum=2.5), 2.5),
        (Column("c", maximum=-3.0), -3.0),
        (Column("c", minimum=-1.0, maximum=1.0), 0.0),
        (Column("c", exclusive_minimum=0.0), 1.0),
        (Column("c", exclusive_minimum=0.0, maximum=0.5), 0.25),
        (Column("c", exclusive_maximum=0.0), -1.0),
        (Column("c", exclusive_minimum=3.0, exclusive_maximum=4.0), 3.5),
        (Column("c", minimum=5.0, exclusive_minimum=1.0), 5.0),
        (Column("c", ColumnType.INTEGER), 0),
        (Column("c", ColumnType.INTEGER, minimum=2), 2),
        (Column("c", ColumnType.INTEGER, exclusive_minimum=7), 8),
        (Column("c", ColumnType.INTEGER, exclusive_maximum=-7), -8),
        (Column("c", ColumnType.INTEGER, example=41), 41),
        (Column("c", ColumnType.BOOLEAN), False),
        (Column("c", ColumnType.DATETIME), "2026-01-01T00:00:00Z"),
        (Column("c", ColumnType.CATEGORY, categories=("x", "y"), closed=True), "x"),
        (Column("c", ColumnType.CATEGORY), "text"),
        (Column("c", ColumnType.STRING, max_length=2), "te"),
        (Column("c", ColumnType.STRING, pattern="A+", example="AA"), "AA"),
    ],
)
def test_made_up_rows_are_rows_a_caller_could_send(column: Column, cell: Any) -> None:
    trial = trial_of(signature(column, Column("d")), None, "m v1")
    assert trial.features == {"c": cell, "d": 0.0}
    assert trial.inputs.count == 3


def test_rows_by_position_are_lists() -> None:
    assert trial_of(signature(Column("0"), Column("1"), named=False), None, "m v1").features == [0.0, 0.0]


@pytest.mark.parametrize(
    "column", [Column("c", ColumnType.STRING, pattern="[0-9]+"), Column("c", ColumnType.INTEGER, minimum=2, maximum=1)]
)
def test_where_no_row_can_be_made_up_there_is_no_example_and_the_model_is_tried_all_the_same(column: Column) -> None:
    trial = trial_of(signature(column, Column("t", ColumnType.DATETIME)), None, "m v1")
    assert (trial.features, trial.guessed) == (None, True)
    assert isinstance(trial.inputs, Table)
    assert trial.inputs.count == 3


@pytest.mark.parametrize(("shape", "rows", "guessed"), [((-1, 4), 3, False), ((1, 4), 1, True), ((-1, -1, 4), 3, True)])
def test_tensors_are_made_up_by_their_shapes(shape: tuple[int, ...], rows: int, guessed: bool) -> None:
    trial = trial_of(Signature(tensors=(Tensor("t", "float32", shape),), output=TENSOR), None, "m v1")
    assert isinstance(trial.inputs, Tensors)
    assert (trial.inputs.count, trial.guessed) == (rows, guessed)
    assert trial.inputs.arrays["t"].shape[1:] == tuple(max(size, 1) for size in shape[1:])
    assert trial.inputs.arrays["t"].dtype == np.float32


def test_tensors_of_texts_hold_texts() -> None:
    trial = trial_of(Signature(tensors=(Tensor("t", "string", (-1, 2)),), output=TENSOR), None, "m v1")
    assert isinstance(trial.inputs, Tensors)
    assert trial.inputs.arrays["t"].tolist() == [["text", "text"]] * 3


def test_golden_examples_are_what_a_model_is_tried_with() -> None:
    trial = trial_of(FAKE_SIGNATURE, manifest_of(golden=[Golden([1, 2.5], 3.5), Golden({"y": 1, "x": 0}, 1.0)]), "m v1")
    assert isinstance(trial.inputs, Matrix)
    assert trial.inputs.values.tolist() == [[1.0, 2.5], [0.0, 1.0]]
    assert (trial.features, trial.guessed) == ([1, 2.5], False)


@pytest.mark.parametrize(
    "moment", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T01:00:00+01:00"]
)
def test_moments_in_golden_examples_are_those_of_toml_or_texts(moment: Any) -> None:
    columns = signature(Column("t", ColumnType.DATETIME))
    trial = trial_of(columns, manifest_of(golden=[Golden({"t": moment}, 1.0)]), "m v1")
    assert isinstance(trial.inputs, Table)
    assert trial.inputs.columns["t"][0] == np.datetime64("2026-01-01T00:00:00")


@pytest.mark.parametrize(
    "features", [[1.0], ["x", 1.0], {"x": 1.0}, {"x": 1.0, "z": 2.0}, "text", date(2026, 1, 1), []]
)
def test_golden_examples_that_the_signature_does_not_take_are_refused(features: Any) -> None:
    with pytest.raises(GoldenMismatch, match="not what the signature takes"):
        trial_of(FAKE_SIGNATURE, manifest_of(golden=[Golden(features, 1.0)]), "m v1")


ONE_SHARE = np.array([[0.5, 0.5]])
WRONG: dict[str, tuple[Any, Output, str]] = {
    "no outputs": ([1.0], NUMBER, "gave list, not outputs"),
    "nothing": (Outputs(NUMBER), NUMBER, "no answer"),
    "two kinds": (Outputs(NUMBER, values=np.ones(1), indices=np.zeros(1, dtype=int)), NUMBER, "several kinds"),
    "other kind": (Outputs(NUMBER, values=np.ones(1)), CLASSES, "gave regression, the signature promises"),
    "too few": (Outputs(NUMBER, values=np.ones(0)), NUMBER, "answers of shape"),
    "too many": (Outputs(NUMBER, values=np.ones(2)), NUMBER, "answers of shape"),
    "no axis": (Outputs(NUMBER, values=np.array(1.0)), NUMBER, "answers of shape"),
    "three axes": (Outputs(NUMBER, values=np.ones((1, 1, 1))), NUMBER, "answers of shape"),
    "NaN": (Outputs(NUMBER, values=np.array([np.nan])), NUMBER, "answered NaN"),
    "one of two": (Outputs(SEVERAL, values=np.ones((1, 1))), SEVERAL, "the signature promises 2"),
    "flat for two": (Outputs(SEVERAL, values=np.ones(1)), SEVERAL, "the signature promises 2"),
    "NaN in one": (Outputs(SEVERAL, values=np.array([[1.0, np.nan]])), SEVERAL, "answered NaN"),
    "class count": (Outputs(CLASSES, indices=np.zeros(2, dtype=int)), CLASSES, "answers of shape"),
    "class too high": (Outputs(CLASSES, indices=np.array([2])), CLASSES, "outside the 2 there are"),
    "class below": (Outputs(CLASSES, indices=np.array([-1])), CLASSES, "outside the 2 there are"),
    "class no number": (Outputs(CLASSES, indices=np.array([0.0])), CLASSES, "outside the 2 there are"),
    "share count": (
        Outputs(CLASSES, indices=np.array([0]), probabilities=np.ones((1, 3))), CLASSES, "for 2 classes",
    ),
    "share NaN": (
        Outputs(CLASSES, indices=np.array([0]), probabilities=ONE_SHARE * np.nan), CLASSES, "not finite",
    ),
    "share infinite": (
        Outputs(CLASSES, indices=np.array([0]), probabilities=ONE_SHARE * np.inf), CLASSES, "not finite",
    ),
    "tensor name": (Outputs(TENSOR, tensors={"u": np.ones((1, 2))}), TENSOR, "gave the tensors u, not t"),
    "tensor rows": (Outputs(TENSOR, tensors={"t": np.ones((2, 2))}), TENSOR, "gave tensor t of shape"),
    "tensor scalar": (Outputs(TENSOR, tensors={"t": np.array(1.0)}), TENSOR, "gave tensor t of shape"),
    "tensor NaN": (Outputs(TENSOR, tensors={"t": np.full((1, 2), np.nan)}), TENSOR, "NaN in tensor t"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_answers_of_the_wrong_form_are_refused(case: str) -> None:
    outputs, output, words = WRONG[case]
    with pytest.raises(LoadFailed, match="tried with 1 row, ") as caught:
        check_outputs(outputs, signature(output=output), 1)
    assert words in caught.value.detail


@pytest.mark.parametrize(
    "outputs",
    [
        Outputs(NUMBER, values=np.array([np.inf])),
        Outputs(NUMBER, values=np.array([[1.0]])),
        Outputs(SEVERAL, values=np.ones((1, 2))),
        Outputs(CLASSES, indices=np.array([1]), probabilities=ONE_SHARE),
        Outputs(CLASSES, indices=np.array([1])),
        Outputs(Output("classification"), values=np.array(["a"], dtype=object)),
        Outputs(TENSOR, tensors={"t": np.ones((1, 2), dtype=np.float32)}),
        Outputs(Output("tensors"), tensors={"any": np.array(["a"])}),
    ],
)
def test_answers_of_the_right_form_pass(outputs: Outputs) -> None:
    check_outputs(outputs, signature(output=outputs.output), 1)


def refusing(inputs: Inputs) -> Outputs:
    raise ValueError(f"unknown category in {inputs.count} rows")


def test_a_model_may_refuse_what_was_guessed() -> None:
    guessed = signature(Column("c", ColumnType.CATEGORY))
    assert warm(FakeModel(guessed, respond=refusing), trial_of(guessed, None, "m v1")) is None


def test_a_model_may_not_refuse_what_it_has_to_know() -> None:
    with pytest.raises(ValueError, match="unknown category"):
        warm(FakeModel(respond=refusing), trial_of(FAKE_SIGNATURE, None, "m v1"))


def test_an_answer_of_the_wrong_form_to_a_guess_is_refused_all_the_same() -> None:
    guessed = signature(Column("c", ColumnType.CATEGORY))
    model = FakeModel(guessed, respond=lambda _: Outputs(NUMBER, values=np.ones(7)))
    with pytest.raises(ArtifactError, match="answers of shape"):
        warm(model, trial_of(guessed, None, "m v1"))


def test_one_row_and_then_all_are_tried() -> None:
    model = FakeModel()
    assert warm(model, trial_of(FAKE_SIGNATURE, None, "m v1")) is not None
    assert model.batches == [1, 3]
