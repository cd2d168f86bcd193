"""Predictions as bytes: JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import orjson
import pytest

from foretell.api.native import translate
from foretell.api.native.columns import Options
from foretell.api.native.translate import batch_json, rows_csv, single_json, timestamp
from foretell.core.identity import Ref
from foretell.core.signature import Output, Tensor
from foretell.core.values import Outputs

REF = Ref("m", "v1")
FULL = Options(top_k=2, probabilities=True)
TWO_NUMBERS = Output("regression", names=("low", "high"))
TENSOR = Output("tensors", tensors=(Tensor("y", "float32", (-1, 2)),))


def labels(*classes: Any, names: tuple[str, ...] | None = None) -> Outputs:
    """One row for each class, predicted with certainty."""
    output = Output("classification", classes, names, probabilities=True)
    return Outputs(output, indices=np.arange(len(classes)), probabilities=np.eye(len(classes)))


def single(outputs: Outputs, index: int = 0, options: Options = Options()) -> Any:  # noqa: B008 - a constant
    document = single_json(outputs, index, REF, prediction_id="p", timestamp="t", inference_ms=0.12345, options=options)
    return orjson.loads(document)


def batch(outputs: Outputs, options: Options = Options()) -> Any:  # noqa: B008 - a constant
    return orjson.loads(batch_json(outputs, REF, prediction_id="p", total_ms=1.23456, options=options))


def table(outputs: Outputs, options: Options = Options()) -> list[list[str]]:  # noqa: B008 - a constant
    text = rows_csv(outputs, options).decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text)))


def test_each_row_of_a_shared_batch_is_answered_with_its_own() -> None:
    outputs = labels("a", "b", "c")
    assert [single(outputs, row)["prediction"] for row in range(3)] == ["a", "b", "c"]
    assert single(outputs, 1)["class_name"] == "b"
    assert single(outputs)["inference_time_ms"] == 0.123


@pytest.mark.parametrize("value", [3, 2.5, "tea", True])
def test_a_prediction_has_the_models_own_type(value: Any) -> None:
    found = single(labels(value, "other"))["prediction"]
    assert found == value and type(found) is type(value)


def test_several_outputs_are_a_list_and_in_csv_a_column_each() -> None:
    outputs = Outputs(TWO_NUMBERS, values=np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert single(outputs, 1)["prediction"] == [3.0, 4.0]
    assert batch(outputs)["predictions"] == [[1.0, 2.0], [3.0, 4.0]]
    assert table(outputs) == [["prediction_low", "prediction_high"], ["1.0", "2.0"], ["3.0", "4.0"]]


def test_tensors_are_nested_lists_and_in_csv_json_in_a_cell() -> None:
    outputs = Outputs(TENSOR, tensors={"y": np.array([[0.5, 1.5]], dtype=np.float32)})
    assert single(outputs)["prediction"] == [0.5, 1.5]
    assert table(outputs) == [["prediction"], ["[0.5,1.5]"]]


def test_single_precision_probabilities_read_the_same_alone_and_in_a_batch() -> None:
    output = Output("classification", (0, 1), probabilities=True)
    probabilities = np.array([[0.1, 0.9]], dtype=np.float32)
    outputs = Outputs(output, indices=np.array([1]), probabilities=probabilities)
    assert single(outputs)["probability"] == batch(outputs, FULL)["probabilities"][0]
    assert single(outputs)["confidence"] == batch(outputs)["confidences"][0]


def test_of_equally_probable_classes_the_earlier_comes_first() -> None:
    output = Output("classification", ("a", "b", "c"), probabilities=True)
    outputs = Outputs(output, indices=np.array([0]), probabilities=np.full((1, 3), 1 / 3))
    assert [entry["prediction"] for entry in single(outputs, options=FULL)["top"]] == ["a", "b"]


def test_labels_a_model_gives_without_known_classes_pass_as_they_are() -> None:
    outputs = Outputs(Output("classification"), values=np.array(["a", "b"], dtype=object))
    assert batch(outputs)["class_names"] == batch(outputs)["predictions"] == ["a", "b"]
    assert table(outputs)[1] == ["a", "a"]


def test_several_tensors_are_named() -> None:
    output = Output("tensors", tensors=(Tensor("a", "float32", (-1,)), Tensor("b", "float32", (-1,))))
    assert single(Outputs(output, tensors={"a": np.ones(1), "b": np.ones(1)}))["prediction"] == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+cmd", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_neutralised(text: str) -> None:
    rows = table(labels(text, "harmless", names=("plain", "-12.5e3")), FULL)
    assert rows[1][0] == "'" + text
    assert rows[2][1] == "-12.5e3"
    header = table(labels("a", "b", names=("x", "=y")), FULL)[0]
    assert header[-1] == "probability_=y"


def test_csv_quotes_what_needs_it_and_writes_truth_as_words() -> None:
    assert table(labels('a,"b"\nc', True))[1:] == [['a,"b"\nc', "1.0"], ["true", "1.0"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795170600.0, "2026-11-20T10:30:00.000Z"),
        (1795170600.9999, "2026-11-20T10:30:00.999Z"),
        (1795170601.25, "2026-11-20T10:30:01.250Z"),
    ],
)
def test_a_timestamp_is_rfc_3339_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert timestamp(seconds) == timestamp(seconds) == text


MANY = [
    labels("a", "b", "c"),
    labels(0, 1, 2, names=("x", "y", "z")),
    labels(0, 2**63, 1),
    labels(True, False, True),
    labels(0.5, 1.0, 2),
    Outputs(Output("classification", (3, 4)), indices=np.array([1, 0, 1])),
    Outputs(Output("regression"), values=np.array([1.5, -0.0, 1e300])),
    Outputs(Output("regression"), values=np.array([0.1, 0.2, 0.3], dtype=np.float32)),
    Outputs(Output("regression"), values=np.array([1, 2, 3], dtype=">i4")),
    Outputs(Output("classification"), values=np.array(["a", "b", "c"], dtype=object)),
    Outputs(TWO_NUMBERS, values=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])),
    Outputs(TENSOR, tensors={"y": np.arange(6, dtype=np.float32).reshape(3, 2)}),
    Outputs(TENSOR, tensors={"y": np.arange(3), "z": np.ones(3)}),
]


@pytest.mark.parametrize("outputs", MANY, ids=range(len(MANY)))
@pytest.mark.parametrize("options", [Options(), FULL], ids=["plain", "full"])
def test_an_answer_written_in_turns_is_the_answer_written_at_once(
    outputs: Outputs, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def texts() -> tuple[bytes, bytes]:
        return (
            batch_json(outputs, REF, prediction_id="p", total_ms=1.0, options=options),
            rows_csv(outputs, options),
        )

    at_once = texts()
    monkeypatch.setattr(translate, "CELLS_A_TURN", 1)
    turns = translate.rows_csv_turns(outputs, options)
    assert sum(1 for _ in turns) == outputs.count, "each row had a turn of its own"
    assert texts() == at_once


@pytest.mark.parametrize("outputs", MANY, ids=range(len(MANY)))
def test_arrays_say_what_their_values_say(outputs: Outputs) -> None:
    assert batch(outputs)["predictions"] == orjson.loads(orjson.dumps(outputs.listed.predictions))
