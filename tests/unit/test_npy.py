"""NPY bodies: what numpy writes is read without a copy, and nothing that could be code or take memory is read."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.base import Answers
from foretell.codecs.npy import codec
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Matrix, Table, Tensors
from foretell.errors import InvalidInput, MalformedRequest, NotAcceptable, RequestError
from tests.columnar_bodies import loaded, npy, npy_header

LIMITS = BodyLimits(max_rows=4)
PAIR = Signature((Column("x"), Column("y")))
FINE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }"


def read(body: bytes, signature: Signature = PAIR, many: bool = True, limits: BodyLimits = LIMITS) -> Any:
    return bind(codec.parse(body, many, limits, {}), signature, limits, "m v1")


def matrix(body: bytes, signature: Signature = PAIR, many: bool = True) -> list[list[float]]:
    inputs = read(body, signature, many)
    assert isinstance(inputs, Matrix)
    assert inputs.values.dtype == np.float64
    assert inputs.values.flags.c_contiguous
    values: list[list[float]] = inputs.values.tolist()
    return values


def refused(body: bytes, signature: Signature = PAIR, many: bool = True) -> RequestError:
    with pytest.raises((MalformedRequest, InvalidInput)) as caught:
        read(body, signature, many)
    assert caught.value.faults
    return caught.value


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "|i1", "|u1", "<u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_width_and_order(dtype: str, order: Any) -> None:
    assert matrix(npy([[1, 2], [3, 4]], dtype, order=order)) == [[1.0, 2.0], [3.0, 4.0]]


def test_float64_rows_reach_the_model_without_a_copy() -> None:
    body = npy([[1.0, 2.0], [3.0, 4.0]])
    inputs = read(body)
    assert isinstance(inputs, Matrix)
    assert np.shares_memory(inputs.values, np.frombuffer(body, np.uint8))


def test_values_that_are_not_aligned_are_read_all_the_same() -> None:
    assert matrix(npy_header(FINE, np.array([1.0, 2.0]).tobytes())) == [[1.0, 2.0]]


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
@pytest.mark.parametrize(
    "header",
    [
        FINE,
        "{'shape': (1, 2), 'fortran_order': False, 'descr': '<f8'}",
        "{'descr':'<f8','fortran_order':False,'shape':(1,2)}\n",
    ],
)
def test_every_version_and_way_to_write_a_header(version: bytes, header: str) -> None:
    assert matrix(npy_header(header, np.array([1.0, 2.0]).tobytes(), version)) == [[1.0, 2.0]]


def test_one_row_has_one_axis_or_two() -> None:
    assert matrix(npy([1.0, 2.0]), many=False) == [[1.0, 2.0]]
    assert matrix(npy([[1.0, 2.0]]), many=False) == [[1.0, 2.0]]


def test_one_axis_is_the_only_column_of_many_rows() -> None:
    assert matrix(npy([1.0, 2.0, 3.0]), Signature((Column("x"),))) == [[1.0], [2.0], [3.0]]


def test_nan_is_null_where_a_column_may_be_null_as_there_is_no_other_null() -> None:
    signature = Signature((Column("x"), Column("y", nullable=True)))
    values = read(npy([[1.0, np.nan]]), signature).values
    assert values[0, 0] == 1.0
    assert np.isnan(values[0, 1])
    assert [fault.pointer for fault in refused(npy([[np.nan, 1.0]]), signature).faults] == ["/rows/0/x"]


def test_whole_numbers_and_booleans_among_floats() -> None:
    signature = Signature((Column("n", ColumnType.INTEGER), Column("b", ColumnType.BOOLEAN)))
    assert matrix(npy([[-0.0, 1.0], [7.0, 0.0]]), signature) == [[0.0, 1.0], [7.0, 0.0]]
    assert not np.signbit(read(npy([[-0.0, 1.0]]), signature).values).any()
    codes = [(fault.code, fault.pointer) for fault in refused(npy([[0.5, 0.0], [1.0, 2.0]]), signature).faults]
    assert codes == [("wrong_type", "/rows/0/n"), ("wrong_type", "/rows/1/b")]


def test_texts_for_columns_of_texts_and_moments() -> None:
    signature = Signature((Column("s", ColumnType.STRING), Column("t", ColumnType.DATETIME)))
    inputs = read(npy([["é", "2026-01-01T00:00:00Z"]]), signature)
    assert isinstance(inputs, Table)
    assert inputs.columns["s"].tolist() == ["é"]
    assert inputs.columns["t"].dtype == np.dtype("datetime64[us]")


# -- tensors -----------------------------------------------------------------------------------------------------------


def test_an_array_of_the_tensors_own_dtype_is_not_copied() -> None:
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 2, -1)),))
    body = npy(np.arange(12, dtype=np.float32).reshape(2, 2, 3))
    inputs = read(body, signature)
    assert isinstance(inputs, Tensors)
    assert inputs.arrays["x"].shape == (2, 2, 3)
    assert np.shares_memory(inputs.arrays["x"], np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3)])
def test_one_row_of_a_tensor_has_a_batch_axis_or_none(shape: tuple[int, ...]) -> None:
    signature = Signature(tensors=(Tensor("x", "float64", (-1, 2, 3)),))
    assert read(npy(np.ones(shape)), signature, many=False).arrays["x"].shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("dtype", "values", "faults"),
    [
        ("float32", [[1.0, np.nan], [np.inf, 2]], ["not_finite /rows/0/1", "not_finite /rows/1/0"]),
        ("float32", [[1.0, 1e39]], ["out_of_range /rows/0/1"]),
        ("int8", [[1.5, 128.0]], ["wrong_type /rows/0/0", "out_of_range /rows/0/1"]),
        ("int64", [[2.0**63, 0.0]], ["out_of_range /rows/0/0"]),
        ("uint8", [[-1, 256]], ["out_of_range /rows/0/0", "out_of_range /rows/0/1"]),
        ("bool", [[1, 0]], ["wrong_type /rows/0/0", "wrong_type /rows/0/1"]),
        ("float32", [[True, False]], ["wrong_type /rows/0/0", "wrong_type /rows/0/1"]),
        ("string", [[1.0, 2.0]], ["wrong_type /rows/0/0", "wrong_type /rows/0/1"]),
        ("string", [["xxxx", "y"]], ["text_too_long /rows/0/0"]),
    ],
)  # fmt: skip
def test_faults_of_a_tensor_have_their_place(dtype: str, values: Any, faults: list[str]) -> None:
    signature = Signature(tensors=(Tensor("x", dtype, (-1, 2)),))
    limits = BodyLimits(max_text_chars=3)
    with pytest.raises(InvalidInput) as caught:
        read(npy(values), signature, limits=limits)
    assert [f"{fault.code} {fault.pointer}" for fault in caught.value.faults] == faults


def test_good_values_of_every_dtype_are_taken() -> None:
    for dtype, values in (("bool", [[True]]), ("string", [["x"]]), ("int8", [[5.0]]), ("float16", [[2]])):
        signature = Signature(tensors=(Tensor("x", dtype, (-1, 1)),))
        array = read(npy(values), signature).arrays["x"]
        assert array.tolist() == values
        assert array.dtype == np.dtype(object if dtype == "string" else dtype)


def test_many_faults_are_counted_and_few_are_told() -> None:
    signature = Signature(tensors=(Tensor("x", "float64", (-1, 100)),))
    error = refused(npy(np.full((3, 100), np.nan)), signature)
    assert error.faults_total == 300
    assert len(error.faults) == 50
    assert error.instance_code == "not_finite"


@pytest.mark.parametrize(
    ("array", "many", "code"),
    [
        (np.ones((2, 3)), True, "wrong_shape"),
        (np.ones((2, 2, 4)), True, "wrong_shape"),
        (np.ones((2, 2, 3)), False, "single_expected"),
        (np.ones((0, 2, 3)), True, "no_rows"),
        (np.ones((5, 2, 3)), True, "too_many_rows"),
    ],
)
def test_another_shape_than_the_tensors(array: Any, many: bool, code: str) -> None:
    signature = Signature(tensors=(Tensor("x", "float64", (-1, 2, 3)),))
    assert refused(npy(array), signature, many).instance_code == code


def test_a_free_axis_has_at_least_one_value() -> None:
    assert (
        refused(npy(np.ones((2, 0))), Signature(tensors=(Tensor("x", "float64", (-1, -1)),))).instance_code
        == "wrong_shape"
    )


def test_several_tensors_do_not_fit_into_one_array() -> None:
    signature = Signature(tensors=(Tensor("x", "float64", (-1,)), Tensor("y", "float64", (-1,))))
    assert "several tensors" in refused(npy([1.0]), signature).detail


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "many", "code"),
    [
        (np.ones((1, 3)), True, "wrong_feature_count"),
        (np.ones(3), False, "wrong_feature_count"),
        (np.ones((0, 2)), True, "no_rows"),
        (np.ones((5, 2)), True, "too_many_rows"),
        (np.ones((2, 2)), False, "single_expected"),
        (np.ones(2), True, "wrong_shape"),
        (np.ones(()), True, "wrong_shape"),
        (np.ones((1, 2, 1)), True, "wrong_shape"),
        (np.array([["a", "b"]]), True, "wrong_type"),
        (np.array([[True, False]]), True, "wrong_type"),
        (np.array([[1.0, np.inf]]), True, "not_finite"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit(array: Any, many: bool, code: str) -> None:
    assert refused(npy(array), many=many).instance_code == code


def test_the_first_faults_are_told_row_by_row_and_all_are_counted() -> None:
    error = refused(npy([[np.nan, 1.0], [np.nan, np.nan], [1.0, np.nan]]))
    assert [fault.pointer for fault in error.faults] == ["/rows/0/x", "/rows/1/x", "/rows/1/y", "/rows/2/y"]
    assert [fault.row for fault in error.faults] == [0, 1, 1, 2]
    wide = BodyLimits(max_rows=1000)
    with pytest.raises(InvalidInput) as caught:
        read(npy(np.full((1000, 2), np.nan)), limits=wide)
    assert caught.value.faults_total == 2000
    assert len(caught.value.faults) == 50


def test_objects_are_never_read() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[object(), 1]], dtype=object), allow_pickle=True)
    assert "may be code" in refused(file.getvalue()).detail


HOSTILE = [
    b"", b"\x93", b"\x93NUMPY", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x04\x00" + bytes(100), b"PK\x03\x04" + bytes(100),
    npy_header(FINE), npy_header(FINE, bytes(15)), npy_header(FINE, bytes(17)), npy_header(""), npy_header("{}"),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }", bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 999999999999999999, 999999999999999999), }"),
    npy_header("{'descr': '<f8', 'fortran_order': 2, 'shape': (1, 2), }", bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': 'x', 'shape': (1, 2), }", bytes(16)),
    npy_header("{'descr': True, 'fortran_order': False, 'shape': (1, 2), }", bytes(16)),
    npy_header("{'descr': '<f8', 'descr': '<f8', 'shape': (1, 2), }", bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 33 + ")}", bytes(8)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "(" * 1000, bytes(16)),
    npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), 'x': __import__('os')}", bytes(16)),
    npy_header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    npy_header("{'descr': '|V8', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    npy_header("{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }", bytes(16)),
    npy_header("{'descr': '<U0', 'fortran_order': False, 'shape': (999999999999, 2), }"),
    npy_header("{'descr': '<U999999999', 'fortran_order': False, 'shape': (1, 2), }"),
    npy_header("{'descr': '<U1', 'fortran_order': False, 'shape': (1, 2), }", b"\xff" * 8),
    npy_header("{'descr': '<U1', 'fortran_order': False, 'shape': (1, 2), }", b"\x00\xd8\x00\x00" * 2),
    npy_header("{'descr': '<M8[us]', 'fortran_order': False, 'shape': (1, 2), }", bytes(16)),
    npy_header(FINE + " " * 70_000, bytes(16), b"\x02\x00"),
    b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + FINE.encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("many", [True, False])
def test_hostile_bodies_are_refused_without_much_memory(body: bytes, many: bool) -> None:
    tracemalloc.start()
    try:
        refused(body, many=many)
        refused(body, Signature(tensors=(Tensor("x", "string", (-1, 2)),)), many)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body) + 1_000_000
    finally:
        tracemalloc.stop()


def test_rows_without_values_are_counted_and_no_more() -> None:
    body = npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999, 0), }")
    assert refused(body).instance_code in ("too_many_rows", "wrong_feature_count")


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_bent_body_is_read_or_refused(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([npy([[1.0, 2.0]]), npy([["a", "b"]]), npy(np.ones((2, 2), np.int8, order="F"))]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"'", b"(", b")", b"9", b"<f4", b"True", b",", b"-"])
        )
        body = body[:at] + piece + body[at + data.draw(st.integers(0, 2)) :]
    try:
        read(body, many=data.draw(st.booleans()))
    except (MalformedRequest, InvalidInput) as error:
        assert error.faults


def test_the_document_keeps_the_order_of_axes() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    document = codec.parse(npy(np.asfortranarray(array)), True, LIMITS, {})
    assert isinstance(document, Document)
    assert document.payload.tolist() == array.tolist()


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array", [np.array(3), np.array([1.5, 2.5]), np.array(["a", "bc"]), np.ones((2, 3), np.float32)]
)
def test_an_answer_is_what_numpy_loads(array: Any) -> None:
    back = loaded(codec.write(Answers(dict, lambda: array)))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


def test_an_answer_that_is_no_array_is_not_acceptable() -> None:
    with pytest.raises(NotAcceptable):
        codec.write(Answers(dict, lambda: None))
