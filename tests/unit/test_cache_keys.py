"""Equal questions have equal keys, whatever they looked like; everything else has another key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.caching.keys import KEY_BYTES, Keys
from foretell.codecs.csv import codec as csv_codec
from foretell.codecs.json import codec as json_codec
from foretell.core.identity import Ref
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, Table, Tensors, assemble

NUMBERS = Signature((Column("x"), Column("n", ColumnType.INTEGER), Column("y", nullable=True)))
MIXED = Signature(
    (
        Column("x", nullable=True),
        Column("plan", ColumnType.CATEGORY, nullable=True),
        Column("name", ColumnType.STRING),
        Column("seen", ColumnType.DATETIME, nullable=True),
        Column("gold", ColumnType.BOOLEAN),
    )
)
SECRET = "a secret of the tests"


def keys(signature: Signature = NUMBERS, model: str = "shop", version: str = "v1", digest: str = "sha256:0") -> Keys:
    return Keys(SECRET, Ref(model, version), digest, signature)


def read(body: bytes, signature: Signature = NUMBERS, many: bool = False, codec: Any = json_codec) -> Inputs:
    limits = BodyLimits()
    return bind(codec.parse(body, many, limits, {}), signature, limits, "shop v1")


def texts(*cells: Any) -> Table:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return Table({"a": array})


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [5.10, 1, 2]}',
        b'{"features": [5.1, 1.0, 2.0]}',
        b'{"features": [51e-1, 1, 20e-1]}',
        b'{"features": {"y": 2, "n": 1, "x": 5.1}}',
        b'{"y": 2, "x": 5.1, "n": 1, "model_version": "v1"}',
        b'{"instances": [[5.1, 1, 2]]}',
    ],
)
def test_how_a_question_is_written_makes_no_difference(body: bytes) -> None:
    known = keys().key(read(b'{"features": [5.1, 1, 2]}'))
    assert keys().key(read(body, many=b"instances" in body)) == known
    assert len(known) == KEY_BYTES


def test_neither_format_nor_way_of_reading_makes_a_difference() -> None:
    known = keys().key(read(b'{"features": [5.1, 1, null]}'))
    assert keys().key(read(b"n,y,x\n1,,5.10\n", codec=csv_codec)) == known
    decoders = json_codec.compile(NUMBERS, BodyLimits())
    assert decoders is not None
    row = decoders.single(b'{"features": [5.1, 1, null]}')
    assert row is not None
    assert keys().key(assemble(NUMBERS, [row])) == known


def test_a_mixed_row_is_one_question_in_every_form() -> None:
    row = b'{"x": 1, "plan": null, "name": "Zo\\u00eb", "seen": "2026-11-20T11:30:00+01:00", "gold": true}'
    known = keys(MIXED).key(read(row, MIXED))
    assert (
        keys(MIXED).key(read("name,gold,seen,x\nZoë,1,2026-11-20T10:30:00Z,1.0\n".encode(), MIXED, codec=csv_codec))
        == known
    )
    rows = [[1.0, None, "Zoë", datetime(2026, 11, 20, 10, 30, tzinfo=UTC), True]]
    assert keys(MIXED).key(assemble(MIXED, rows)) == known


def test_a_null_is_like_another_whatever_the_bits_of_its_nan() -> None:
    odd = np.array([[1.0, 2.0, np.nan]])
    odd.view(np.int64)[0, 2] |= 1
    assert keys().key(Matrix(odd)) == keys().key(Matrix(np.array([[1.0, 2.0, np.nan]])))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Matrix(np.array([[0.0, 1.0]])), Matrix(np.array([[-0.0, 1.0]]))),
        (Matrix(np.array([[1.0, 2.0]])), Matrix(np.array([[1.0], [2.0]]))),
        (Matrix(np.array([[1.0, 2.0]])), Matrix(np.array([[2.0, 1.0]]))),
        (Matrix(np.zeros((2, 1))), Matrix(np.zeros((3, 1)))),
        (texts("ab", "c"), texts("a", "bc")),
        (texts("", None), texts(None, "")),
        (texts("1"), texts("1.0")),
        (texts("\x00"), texts("")),
        (texts(None), texts("None")),
        (Table({"a": np.array([1.0])}), Table({"a": np.array([1])})),
        (Table({"a": np.array([1])}), Table({"a": np.array([True])})),
        (Table({"a": np.array([1.0])}), Tensors({"a": np.array([1.0])})),
        (Tensors({"a": np.zeros((1, 2, 3))}), Tensors({"a": np.zeros((1, 3, 2))})),
        (Tensors({"a": np.zeros((1, 2), np.float32)}), Tensors({"a": np.zeros((1, 1), np.float64)})),
        (Tensors({"a": np.zeros((1, 1))}), Tensors({"b": np.zeros((1, 1))})),
    ],
)
def test_what_differs_has_another_key(one: Inputs, other: Inputs) -> None:
    assert keys().key(one) != keys().key(other)


def test_model_version_content_signature_secret_outputs_and_tenant_all_count() -> None:
    question = Matrix(np.array([[1.0, 2.0, 3.0]]))
    turned = Signature(tuple(reversed(NUMBERS.columns)))
    found = [
        keys().key(question),
        keys(model="shop2").key(question),
        keys(version="v2").key(question),
        keys(model="shopv", version="1").key(question),
        keys(digest="sha256:1").key(question),
        keys(turned).key(question),
        Keys("another secret of the tests", Ref("shop", "v1"), "sha256:0", NUMBERS).key(question),
        keys().key(question, ("a", "b")),
        keys().key(question, ("ab",)),
        keys().key(question, tenant="ann"),
        keys().key(question, tenant="bob"),
    ]
    assert len(set(found)) == len(found)


def test_byte_order_and_memory_layout_make_no_difference() -> None:
    values = np.arange(6.0).reshape(2, 3)
    known = keys().key(Matrix(values))
    assert keys().key(Matrix(np.asfortranarray(values))) == known
    assert keys().key(Matrix(values.astype(">f8"))) == known
    assert keys().key(Matrix(np.repeat(values, 2, axis=0)[::2])) == known


@pytest.mark.parametrize("cell", [b"bytes", 1, True, np.str_("a"), "\ud800"])
def test_what_no_validated_inputs_hold_has_no_key(cell: Any) -> None:
    with pytest.raises(TypeError):
        keys().key(texts("a", cell))


CELLS = st.one_of(st.none(), st.text(max_size=4))


@given(st.lists(CELLS, min_size=1, max_size=4), st.lists(CELLS, min_size=1, max_size=4))
def test_texts_are_told_apart_exactly(one: list[Any], other: list[Any]) -> None:
    assert (keys().key(texts(*one)) == keys().key(texts(*other))) == (one == other)


def test_a_tensor_of_texts_has_a_key() -> None:
    signature = Signature(tensors=(Tensor("t", "string", (-1, 1)),), output=Output("regression"))
    one = read(b'{"features": ["a"]}', signature)
    other = read(b'{"features": ["b"]}', signature)
    assert keys(signature).key(one) != keys(signature).key(other)
