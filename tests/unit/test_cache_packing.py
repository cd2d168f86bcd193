"""Outputs come back from bytes just as they were; whatever else the bytes are, they are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.caching.packing import pack, unpack
from foretell.caching.seal import OVERHEAD_BYTES, Seal
from foretell.core.signature import Output
from foretell.core.values import Outputs

CLASSES = Output("classification", (0, 1, 2), probabilities=True)
NUMBER = Output("regression")
LABELS = Output("classification")


def objects(*cells: Any) -> Any:
    array = np.empty(len(cells), dtype=object)
    for index, cell in enumerate(cells):
        array[index] = cell
    return array


GOOD = [
    Outputs(CLASSES, indices=np.array([2, 0]), probabilities=np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])),
    Outputs(CLASSES, indices=np.array([1]), probabilities=np.array([[0.1, 0.8, 0.1]], dtype=np.float32)),
    Outputs(CLASSES, indices=np.array([1], dtype=np.int32)),
    Outputs(NUMBER, values=np.array([0.1, -0.0, 5e-324])),
    Outputs(NUMBER, values=np.array([[1.5, 2.5]], dtype=np.float32)),
    Outputs(NUMBER, values=np.array([7, 8])),
    Outputs(LABELS, values=np.array(["gold", "zoë"])),
    Outputs(LABELS, values=objects("a", 1, 1.0, True, None, 2**63 - 1)),
    Outputs(LABELS, values=objects(["a", [1.5]], [])),
    Outputs(
        Output("tensors"), tensors={"a": np.zeros((2, 3, 0)), "b": objects("x", "y"), "c": np.array([True, False])}
    ),
]


def same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    cells = [(type(a), a) for a in one.ravel().tolist()] == [(type(b), b) for b in other.ravel().tolist()]
    return one.dtype == other.dtype and one.shape == other.shape and cells


@pytest.mark.parametrize("outputs", GOOD)
def test_outputs_come_back_as_they_were(outputs: Outputs) -> None:
    data = pack(outputs)
    assert data is not None
    back = unpack(data, outputs.output, outputs.count)
    for name in ("indices", "values", "probabilities"):
        assert same(getattr(outputs, name), getattr(back, name))
    assert (outputs.tensors or {}).keys() == (back.tensors or {}).keys()
    assert all(same(array, (back.tensors or {})[name]) for name, array in (outputs.tensors or {}).items())
    assert back.listed == outputs.listed


def test_rows_cut_out_of_a_batch_take_their_own_space_only() -> None:
    batch = Outputs(NUMBER, values=np.arange(100_000.0))
    data = pack(batch.part(500, 501))
    assert data is not None
    assert len(data) < 100
    assert unpack(data, NUMBER, 1).listed.predictions == [500.0]


@pytest.mark.parametrize("cell", [2**64, (1, 2), np.int64(3), b"bytes", {"a": 1}, "\ud800", [object()]])
def test_labels_that_would_not_come_back_alike_are_not_taken(cell: Any) -> None:
    assert pack(Outputs(LABELS, values=objects(cell))) is None


def test_numbers_of_another_kind_are_not_taken() -> None:
    assert pack(Outputs(LABELS, values=np.array([1j]))) is None


def forged(**change: Any) -> bytes:
    packed = {"count": 2, "indices": ["<i8", [2], np.array([2, 0]).tobytes()], "values": None, "tensors": None}
    packed["probabilities"] = ["<f8", [2, 3], np.zeros(6).tobytes()]
    return msgspec.msgpack.encode(list({**packed, **change}.values()))


def test_what_was_forged_below_is_good_but_for_the_change() -> None:
    assert unpack(forged(), CLASSES, 2).count == 2


@pytest.mark.parametrize(
    "change",
    [
        {"count": 3},
        {"indices": ["<i8", [2], np.array([3, 0]).tobytes()]},
        {"indices": ["<i8", [2], np.array([-1, 0]).tobytes()]},
        {"indices": ["<f8", [2], np.zeros(2).tobytes()]},
        {"indices": ["<i8", [2, 1], np.zeros(2, np.int64).tobytes()]},
        {"indices": ["<i8", [1], np.zeros(1, np.int64).tobytes()]},
        {"indices": ["<i8", [3], np.zeros(2, np.int64).tobytes()]},
        {"indices": ["<i8", [-2], np.zeros(2, np.int64).tobytes()]},
        {"indices": ["<i8", [], np.zeros(1, np.int64).tobytes()]},
        {"indices": ["O", [2], [0]]},
        {"indices": ["O", [2], [0, 1]]},
        {"indices": ["O", [2], np.zeros(2).tobytes()]},
        {"indices": ["<i8", [2], [0, 1]]},
        {"indices": ["V8", [2], np.zeros(2).tobytes()]},
        {"indices": ["i8,i8", [1], np.zeros(2).tobytes()]},
        {"indices": None},
        {"values": ["<f8", [2], np.zeros(2).tobytes()]},
        {"tensors": {}, "indices": None, "probabilities": None},
        {"tensors": {"a": ["<f8", [2**40, 2**40], b""]}, "indices": None},
        {"probabilities": ["<f8", [2, 2], np.zeros(4).tobytes()]},
        {"probabilities": ["<i8", [2, 3], np.zeros(6, np.int64).tobytes()]},
        {"more": 1, "count": "two"},
    ],
)
def test_arrays_that_do_not_go_together_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(forged(**change), CLASSES, 2)


@given(st.binary(max_size=64))
def test_bytes_of_any_kind_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(data, CLASSES, 2)


# -- the seal ----------------------------------------------------------------------------------------------------------

KEY, OTHER = b"k" * 20, b"o" * 20
SEAL = Seal("a secret of the tests")


def test_what_was_sealed_opens() -> None:
    sealed = SEAL.close(KEY, b"payload", 12.5)
    assert SEAL.open(KEY, sealed) == (b"payload", 12.5)
    assert len(sealed) == OVERHEAD_BYTES + 7


def test_neither_another_key_nor_another_secret_opens_it() -> None:
    sealed = SEAL.close(KEY, b"payload", 12.5)
    with pytest.raises(ValueError, match="key"):
        SEAL.open(OTHER, sealed)
    with pytest.raises(ValueError, match="signature"):
        SEAL.open(OTHER, sealed.replace(KEY, OTHER))
    with pytest.raises(ValueError, match="signature"):
        Seal("another secret of the tests").open(KEY, sealed)


@given(st.integers(0, OVERHEAD_BYTES + 6), st.integers(1, 255))
def test_no_byte_can_be_changed(place: int, change: int) -> None:
    sealed = bytearray(SEAL.close(KEY, b"payload", 12.5))
    sealed[place] ^= change
    with pytest.raises(ValueError, match=r"."):
        SEAL.open(KEY, bytes(sealed))


@given(st.integers(0, OVERHEAD_BYTES + 6))
def test_nothing_can_be_cut_off_or_added(length: int) -> None:
    sealed = SEAL.close(KEY, b"payload", 12.5)
    for changed in (sealed[:length], sealed + sealed[:length] + b"x"):
        with pytest.raises(ValueError, match=r"."):
            SEAL.open(KEY, changed)
