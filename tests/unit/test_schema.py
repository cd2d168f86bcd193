"""Schemas say what validation accepts, no more and no less; examples are accepted; answers fit their schemas."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec
from foretell.core.document import Unreadable
from foretell.core.examples import example_cell, example_csv, example_request, example_row
from foretell.core.limits import BodyLimits
from foretell.core.schema import column_schema, request_schema, response_schema
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.errors import InvalidInput, MalformedRequest
from tests.bodies import odd_bodies, signatures

LIMITS = BodyLimits(max_rows=3)


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def accepted(body: bytes, signature: Signature, many: bool) -> bool:
    try:
        bind(codec.parse(body, many, LIMITS, {}), signature, LIMITS, "m v1")
    except (MalformedRequest, InvalidInput):
        return False
    return True


def sayable(body: bytes) -> Any:
    """The body as a value, or None where it is nothing JSON Schema could be asked about."""
    try:
        codec.parse(body, b'"instances"' in body, LIMITS, {})
        value = json.loads(body, parse_float=_number, parse_constant=_number)
        return None if _holds_unreadable(value) else value
    except (MalformedRequest, ValueError):
        return None


def _number(text: str) -> Any:
    value = float(text)
    return value if np.isfinite(value) else Unreadable("", text)


def _holds_unreadable(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_unreadable, value.values()))
    if isinstance(value, list):
        return any(map(_holds_unreadable, value))
    return isinstance(value, Unreadable) or (type(value) is int and abs(value) > 2**53)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), signatures(), st.booleans())
def test_the_request_schema_accepts_what_validation_accepts(data: st.DataObject, sig: Signature, many: bool) -> None:
    if any(not np.isfinite(bound) for column in sig.columns for bound in _bounds(column)):
        return
    body = data.draw(odd_bodies(sig, many))
    document = sayable(body)
    if document is None or b"\\" in body or b":60" in body or b"0001-" in body or b"9999-" in body:
        return  # seconds 60 and years out of range in UTC are finer than the format date-time tells
    assert validator(request_schema(sig, many, LIMITS)).is_valid(document) == accepted(body, sig, many)


def _bounds(column: Column) -> list[float]:
    bounds = (column.minimum, column.exclusive_minimum, column.maximum, column.exclusive_maximum)
    return [float(bound) for bound in bounds if bound is not None]


MODELS = {
    "iris": Signature(columns=tuple(map(Column, "abcd"))),
    "unnamed": Signature(columns=tuple(map(Column, "abcd")), named=False),
    "one": Signature(columns=(Column("a", ColumnType.STRING, nullable=True),)),
    "shop": Signature(
        columns=(
            Column("age", ColumnType.INTEGER, minimum=18, exclusive_maximum=150),
            Column("plan", ColumnType.CATEGORY, categories=("gold", 'sil,"ver'), closed=True, description="the plan"),
            Column("code", ColumnType.STRING, pattern="^[A-Z]+$", max_length=2),
            Column("seen", ColumnType.DATETIME),
            Column("member", ColumnType.BOOLEAN, nullable=True),
            Column("spend", ColumnType.FLOAT, exclusive_minimum=1, exclusive_maximum=2, example=1.25),
        )
    ),
    "reserved": Signature(columns=(Column("features"), Column("x"))),
    "image": Signature(tensors=(Tensor("x", "float32", (-1, 2, -1), "pixels"),)),
    "net": Signature(
        tensors=(Tensor("ids", "int64", (-1, 3)), Tensor("ok", "bool", (-1,)), Tensor("t", "string", (-1, 1)))
    ),
}


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_the_example_of_every_model_is_accepted_by_schema_and_validation(name: str, many: bool) -> None:
    signature = MODELS[name]
    example = example_request(signature, many=many)
    assert validator(request_schema(signature, many)).is_valid(example)
    assert accepted(json.dumps(example).encode(), signature, many)
    text = example_csv(signature, many=many)
    if text is not None:
        assert bind(csv.parse(text.encode(), many, LIMITS, {}), signature, LIMITS, "m v1").count == (2 if many else 1)


def test_a_row_known_to_be_good_is_the_example_where_there_is_one() -> None:
    row = {"a": 1.5, "b": 2, "c": 3, "d": True}
    assert example_request(MODELS["iris"], row) == {"features": row}
    assert example_request(MODELS["iris"], row, many=True) == {"features": [row]}
    assert example_csv(MODELS["iris"], row) == "a,b,c,d\n1.5,2,3,true\n"
    assert example_csv(MODELS["iris"], [1, 2, 3, 4]) == "a,b,c,d\n1,2,3,4\n"
    assert example_csv(MODELS["net"]) is None
    assert example_csv(MODELS["one"], [None]) == 'a\n""\n'


def test_mixed_named_columns_are_shown_as_an_object_and_plain_numbers_as_a_list() -> None:
    assert example_row(MODELS["iris"]) == [0.0, 0.0, 0.0, 0.0]
    assert list(example_row(MODELS["shop"])) == list(MODELS["shop"].names)


@pytest.mark.parametrize(
    "column",
    [
        Column("x", minimum=3),
        Column("x", maximum=-3),
        Column("x", exclusive_minimum=0),
        Column("x", exclusive_minimum=1e300),
        Column("x", exclusive_minimum=1, exclusive_maximum=1.0000000000000004),
        Column("x", ColumnType.INTEGER, exclusive_minimum=3),
        Column("x", ColumnType.INTEGER, maximum=-3.5),
        Column("x", ColumnType.INTEGER, exclusive_maximum=-3),
        Column("x", ColumnType.STRING, pattern="^[0-9]+$"),
        Column("x", ColumnType.STRING, max_length=0),
        Column("x", ColumnType.STRING, nullable=True, pattern="^nothing of ours$"),
        Column("x", ColumnType.CATEGORY, categories=("a", "b")),
    ],
)
def test_an_example_keeps_to_what_is_declared(column: Column) -> None:
    assert accepted(json.dumps({"features": [example_cell(column)]}).encode(), Signature(columns=(column,)), False)
    assert validator(column_schema(column)).is_valid(example_cell(column))


def test_where_nothing_fits_an_example_is_given_all_the_same() -> None:
    assert example_cell(Column("x", minimum=2, maximum=1)) == 0.0
    assert example_cell(Column("x", ColumnType.INTEGER, minimum=2, maximum=1)) == 0
    assert example_cell(Column("x", ColumnType.STRING, pattern="^nothing of ours$")) == "text"


def test_versions_may_be_listed_or_left_out() -> None:
    schema = request_schema(MODELS["unnamed"], False, versions=["v1"])
    assert validator(schema).is_valid({"features": [1, 2, 3, 4], "model_version": "v1"})
    assert not validator(schema).is_valid({"features": [1, 2, 3, 4], "model_version": "v2"})
    without = request_schema(MODELS["iris"], True, versions=())
    assert not validator(without).is_valid({"features": [[1, 2, 3, 4]], "model_version": "v1"})


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("int8", [-128, 127, 1.0], [128, 1.5, "1", True]),
        ("uint64", [0, 2**64 - 1], [-1]),
        ("float16", [65504, -1.5], [65536, "1"]),
        ("bool", [True], [1]),
        ("string", ["a"], [1]),
    ],
)
def test_tensor_elements_have_the_range_of_their_dtype(dtype: str, good: list[Any], bad: list[Any]) -> None:
    signature = Signature(tensors=(Tensor("x", dtype, (-1, 1)),))
    schema = validator(request_schema(signature, False))
    for value in good:
        assert schema.is_valid({"features": [value]})
        assert accepted(json.dumps({"features": [value]}).encode(), signature, False)
    for value in bad:
        assert not schema.is_valid({"features": [value]})
        assert not accepted(json.dumps({"features": [value]}).encode(), signature, False)


def _answer(**more: Any) -> dict[str, Any]:
    return {"model": "m", "model_version": "v1", "prediction_id": "01J", **more}


def _single(**more: Any) -> dict[str, Any]:
    return _answer(status="success", timestamp="2026-11-20T10:30:00.000Z", inference_time_ms=0.2, **more)


def _many(**more: Any) -> dict[str, Any]:
    return _answer(batch_size=1, total_time_ms=0.2, **more)


NAMED = Output("classification", (0, 1), ("no", "yes"), True)


@pytest.mark.parametrize(
    ("output", "single", "many"),
    [
        (
            NAMED,
            {"prediction": 1, "class_name": "yes", "confidence": 0.9, "probability": [0.1, 0.9]},
            {"predictions": [1], "class_names": ["yes"], "confidences": [0.9], "probabilities": [[0.1, 0.9]]},
        ),
        (
            NAMED,
            {"prediction": 1, "top": [{"prediction": 1, "class_name": "yes", "probability": 0.9}]},
            {"predictions": [1], "top": [[{"prediction": 1, "probability": 0.9}]]},
        ),
        (Output("classification", ("a", "b")), {"prediction": "a", "class_name": "a"}, {"predictions": ["a"]}),
        (Output("classification", (0, 1)), {"prediction": 1}, {"predictions": [1]}),
        (Output("classification"), {"prediction": "x", "class_name": "x"}, {"predictions": [True]}),
        (Output("classification", names=("p", "q")), {"prediction": [1, "b"]}, {"predictions": [[1, "b"]]}),
        (Output("regression"), {"prediction": 1.5}, {"predictions": [1.5]}),
        (Output("regression", names=("p", "q")), {"prediction": [1.5, 2]}, {"predictions": [[1.5, 2]]}),
        (Output("tensors"), {"prediction": [[1]]}, {"predictions": [{"y": [1]}]}),
    ],
)
def test_answers_fit_their_schemas(output: Output, single: dict[str, Any], many: dict[str, Any]) -> None:
    signature = Signature(columns=(Column("x"),), output=output)
    validator(response_schema(signature, False)).validate(_single(**single))
    validator(response_schema(signature, True)).validate(_many(**many))


def test_an_answer_that_does_not_fit_is_told() -> None:
    single = validator(response_schema(Signature(columns=(Column("x"),), output=NAMED), False))
    assert not single.is_valid(_single(prediction=2))
    assert not single.is_valid(_single(prediction=1, class_name="perhaps"))
    assert not single.is_valid(_single(prediction=1, probability=[1.0]))
    regression = validator(response_schema(Signature(columns=(Column("x"),), output=Output("regression")), False))
    assert not regression.is_valid(_single(prediction=None))
