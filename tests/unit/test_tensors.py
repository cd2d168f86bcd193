"""Tensors: ranks and lengths are checked, elements are in range, rows agree."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec
from foretell.core.faults import KEPT
from foretell.core.limits import BodyLimits
from foretell.core.signature import Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Tensors
from foretell.errors import InvalidInput, MalformedRequest

LIMITS = BodyLimits(max_rows=3, max_text_chars=10)


def model(*tensors: tuple[str, str, tuple[int, ...]]) -> Signature:
    return Signature(tensors=tuple(Tensor(*tensor) for tensor in tensors), output=Output("tensors"))


ONE = model(("x", "float32", (-1, 2, 3)))
TWO = model(("ids", "int64", (-1, -1)), ("mask", "bool", (-1, 2)))


def take(document: Any, signature: Signature = ONE, many: bool = False) -> dict[str, Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    inputs = bind(codec.parse(body, many, LIMITS, {}), signature, LIMITS, "net v1")
    assert isinstance(inputs, Tensors)
    return inputs.arrays


def error(document: Any, signature: Signature = ONE, many: bool = False) -> Any:
    with pytest.raises((MalformedRequest, InvalidInput)) as caught:
        take(document, signature, many)
    return caught.value


ROW = [[1, 2, 3], [4, 5, 6.5]]


def test_one_tensor_is_sent_as_nested_lists_or_by_name() -> None:
    for document in ({"features": ROW}, {"features": {"x": ROW}}):
        array = take(document)["x"]
        assert array.dtype == np.float32
        assert array.tolist() == [ROW]


def test_a_batch_is_a_list_of_rows() -> None:
    array = take({"instances": [ROW, {"x": ROW}]}, many=True)["x"]
    assert array.shape == (2, 2, 3)


def test_several_tensors_are_sent_by_name() -> None:
    arrays = take({"features": {"ids": [1, 2.0, 3], "mask": [True, False]}}, TWO)
    assert arrays["ids"].tolist() == [[1, 2, 3]]
    assert arrays["ids"].dtype == np.int64
    assert arrays["mask"].tolist() == [[True, False]]


def test_scalars_and_texts_are_tensors_too() -> None:
    assert take({"features": 1.5}, model(("x", "float64", (-1,))))["x"].tolist() == [1.5]
    assert take({"features": [1, 2]}, model(("x", "float64", (-1,))), many=True)["x"].tolist() == [1, 2]
    texts = take({"features": ["a", "b"]}, model(("t", "string", (-1, 2))))["t"]
    assert texts.dtype == object
    assert texts.tolist() == [["a", "b"]]
    assert take({"features": []}, model(("x", "float64", (-1, 0))))["x"].shape == (1, 0)


@pytest.mark.parametrize(
    ("document", "signature", "code", "place"),
    [
        ({"features": [[1, 2, 3]]}, ONE, "wrong_shape", "/features"),
        ({"features": [[1, 2, 3], [4, 5]]}, ONE, "wrong_shape", "/features/1"),
        ({"features": [[1, 2, 3], 4]}, ONE, "wrong_shape", "/features/1"),
        ({"features": [[1, 2, 3], [4, 5, [6]]]}, ONE, "wrong_shape", "/features/1/2"),
        ({"features": "x"}, ONE, "wrong_shape", "/features"),
        ({"features": [1, 2]}, TWO, "wrong_shape", "/features"),
        ({"features": {"ids": [], "mask": [True, True]}}, TWO, "wrong_shape", "/features/ids"),
        ({"features": [ROW]}, ONE, "single_expected", "/features"),
        ({"features": [{"x": ROW}]}, ONE, "single_expected", "/features"),
        ({"x": ROW}, ONE, "features_missing", ""),
    ],
)
def test_a_wrong_shape_is_named_with_its_place(document: Any, signature: Signature, code: str, place: str) -> None:
    refused = error(document, signature)
    assert isinstance(refused, MalformedRequest)
    assert (refused.faults[0].code, refused.faults[0].pointer) == (code, place)


@pytest.mark.parametrize(
    ("text", "dtype", "code"),
    [
        ("1e39", "float32", "out_of_range"),
        ("1e999", "float64", "out_of_range"),
        ("NaN", "float64", "not_finite"),
        ('"1"', "float64", "wrong_type"),
        ("true", "float64", "wrong_type"),
        ("null", "float64", "wrong_type"),
        ("1.5", "int8", "wrong_type"),
        ("128", "int8", "out_of_range"),
        ("-1", "uint8", "out_of_range"),
        ("1e300", "int64", "out_of_range"),
        ("1", "bool", "wrong_type"),
        ("1", "string", "wrong_type"),
        ('"12345678901"', "string", "text_too_long"),
    ],
)
def test_a_wrong_element_is_refused(text: str, dtype: str, code: str) -> None:
    refused = error(f'{{"features": [{text}]}}'.encode(), model(("x", dtype, (-1, 1))))
    assert isinstance(refused, InvalidInput)
    assert (refused.instance_code, refused.faults[0].pointer) == (code, "/features/0")


def test_all_faults_are_counted_and_the_first_kept() -> None:
    refused = error({"features": ["x"] * 100}, model(("x", "float64", (-1, -1))))
    assert (len(refused.faults), refused.faults_total) == (KEPT, 100)


def test_a_number_with_too_many_digits_is_malformed() -> None:
    refused = error(b'{"features": [' + b"1" * 500 + b"]}", model(("x", "float64", (-1, 1))))
    assert isinstance(refused, MalformedRequest)


def test_rows_must_agree_on_a_free_dimension() -> None:
    free = model(("ids", "int64", (-1, -1)))
    refused = error({"features": [[1, 2], [1, 2, 3]]}, free, many=True)
    assert (refused.instance_code, refused.faults[0].row, refused.faults[0].pointer) == (
        "ragged_rows",
        1,
        "/features/1",
    )


def test_names_are_checked() -> None:
    refused = error({"features": {"idz": [1], "mask": [True, True]}, "x": 1}, TWO)
    found = {(fault.code, fault.pointer, fault.suggestion) for fault in refused.faults}
    assert found == {
        ("unknown_field", "/x", None),
        ("unknown_column", "/features/idz", "ids"),
        ("missing_column", "/features/ids", None),
    }


def test_batch_bodies_are_told_from_single_ones() -> None:
    assert error({"features": ROW}, many=True).instance_code == "batch_expected"
    assert error({"features": {"x": ROW}}, many=True).instance_code == "batch_expected"
    assert error({"features": []}, many=True).instance_code == "no_rows"
    assert error({"features": [ROW] * 4}, many=True).instance_code == "too_many_rows"
    assert error({"features": 1}, many=True).instance_code == "wrong_shape"
    assert error({"features": [{"ids": [1]}]}, TWO).instance_code == "single_expected"


def test_csv_cannot_carry_tensors() -> None:
    with pytest.raises(MalformedRequest, match="send JSON"):
        bind(csv.parse(b"1,2", False, LIMITS, {}), ONE, LIMITS, "net v1")
