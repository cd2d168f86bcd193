"""Frames: what is packed is read again; what is no frame of ours is refused, and takes no memory."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors
from foretell.execution.hosted import frames
from foretell.execution.hosted.frames import (
    FrameError,
    FrameReader,
    describe_inputs,
    describe_outputs,
    pack,
    read_inputs,
    read_outputs,
)

CLASSES = Signature((Column("x"),), output=Output("classification", classes=("a", "b", "c")))
VALUES = Signature((Column("x"),), output=Output("regression"))

INPUTS: list[Inputs] = [
    Matrix(np.arange(6.0).reshape(2, 3)),
    Matrix(np.empty((0, 3))),
    Matrix(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    Table(
        {
            "number": np.array([1.5, np.nan]),
            "whole": np.array([1, -(2**53)], dtype=np.int64),
            "flag": np.array([True, False]),
            "text": np.array(["ä", None], dtype=object),
            "day": np.array(["2026-01-01", "NaT"], dtype="datetime64[us]"),
        }
    ),
    Tensors({"a": np.ones((2, 3, 4), np.float32), "b": np.array([[1], [2]], np.uint8)}),
    Tensors({"words": np.array([["a", "b"], ["c", None]], dtype=object)}),
]


def through(header: dict[str, Any], arrays: list[Any], cut: int = 7) -> tuple[dict[str, Any], bytearray]:
    """Over the wire in small pieces."""
    reader, data = FrameReader(), pack(header, arrays)
    for start in range(0, len(data), cut):
        assert reader.next() is None
        reader.feed(data[start : start + cut])
    frame = reader.next()
    assert frame is not None and reader.next() is None
    return frame


def arrays_of(inputs: Inputs) -> dict[str, Any]:
    if isinstance(inputs, Matrix):
        return {"": inputs.values}
    return dict(inputs.columns if isinstance(inputs, Table) else inputs.arrays)


@pytest.mark.parametrize("inputs", INPUTS)
def test_inputs_arrive_as_they_were(inputs: Inputs) -> None:
    arrived = read_inputs(*through(*describe_inputs(inputs)))
    assert type(arrived) is type(inputs)
    for name, array in arrays_of(inputs).items():
        other = arrays_of(arrived)[name]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert other.flags.writeable or not other.size
        np.testing.assert_array_equal(other, array)


@pytest.mark.parametrize(
    ("outputs", "signature"),
    [
        (Outputs(CLASSES.output, np.array([0, 2])), CLASSES),
        (Outputs(CLASSES.output, np.array([1, 1]), probabilities=np.array([[0.1, 0.9, 0], [0, 1, 0]])), CLASSES),
        (Outputs(VALUES.output, values=np.array([1.5, -2.0])), VALUES),
        (Outputs(VALUES.output, values=np.array(["x", "yy"])), VALUES),
        (Outputs(VALUES.output, tensors={"o": np.zeros((2, 2), np.int8)}), VALUES),
    ],
)
def test_outputs_arrive_as_they_were(outputs: Outputs, signature: Signature) -> None:
    arrived = read_outputs(*through(*describe_outputs(outputs)), signature, 2)
    for part in ("indices", "values", "probabilities"):
        np.testing.assert_array_equal(getattr(arrived, part), getattr(outputs, part))
    assert (arrived.tensors is None) == (outputs.tensors is None)
    assert arrived.listed == outputs.listed


GOOD, _ = describe_outputs(Outputs(CLASSES.output, np.array([0, 2])))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({}, b""),
        ({"kind": "rows", "arrays": []}, b""),
        ({"kind": "rows", "arrays": "x"}, b""),
        ({"kind": "rows", "arrays": [["indices", "<i8", [3]]]}, bytes(32)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2]]]}, bytes(8)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2]]]}, bytes(48)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2]]]}, struct.pack("<qq", 0, 3)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2]]]}, struct.pack("<qq", -1, 0)),
        ({"kind": "rows", "arrays": [["indices", "<f8", [2]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2, 1]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "|O8", [2]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [-2]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2**41, 2**41]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "<i8", 2]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [1] * 9]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["probabilities", "<f8", [2, 3]]]}, bytes(48)),
        ({"kind": "rows", "arrays": [["indices", "<i8", [2]], ["probabilities", "<f8", [2, 2]]]}, bytes(48)),
        ({"kind": "rows", "arrays": [["values", "O", [2], [1]]]}, b""),
        ({"kind": "rows", "arrays": [["values", "O", [2], [[1], {}]]]}, b""),
        ({"kind": "rows", "arrays": [["values", "O", [2]]]}, b""),
        ({"kind": "rows", "arrays": [[1, "<i8", [2]]]}, bytes(16)),
        ({"kind": "rows", "arrays": [["indices"]]}, bytes(16)),
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_is_refused(header: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(FrameError):
        read_outputs(header, bytearray(payload), CLASSES, 2)


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"kind": "matrix", "arrays": [["", "<f8", [2]]]}, bytes(16)),
        ({"kind": "matrix", "arrays": [["", "<f8", []]]}, bytes(16)),
        ({"kind": "table", "arrays": [["a", "<f8", [2]], ["b", "<f8", [1]]]}, bytes(32)),
        ({"kind": "other", "arrays": [["", "<f8", [2]]]}, bytes(16)),
        ({"kind": "table", "arrays": []}, b""),
    ],
    ids=str,
)
def test_inputs_that_cannot_be_are_refused(header: dict[str, Any], payload: bytes) -> None:
    with pytest.raises(FrameError):
        read_inputs(header, bytearray(payload))


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IQ", 2**31, 0),
        struct.pack("<IQ", 1, 2**60),
        struct.pack("<IQ", 1, 0) + b"\xc1",
        struct.pack("<IQ", 2, 0) + b"\x93\x01",
        struct.pack("<IQ", 1, 0) + msgpack.packb(1),
        struct.pack("<IQ", 3, 0) + msgpack.packb({1: 1}),
        struct.pack("<IQ", 2, 0) + msgpack.packb(1) * 2,
    ],
)
def test_what_is_no_frame_is_refused_at_once(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    with pytest.raises(FrameError):
        reader.next()


@given(data=st.binary(max_size=200), valid=st.booleans(), at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_whatever_comes_is_a_frame_or_is_refused(data: bytes, valid: bool, at: int, value: int) -> None:
    if valid:
        mangled = bytearray(pack({"id": 1, **GOOD}, [np.array([0, 2])]))
        mangled[at % len(mangled)] = value
        data = bytes(mangled)
    reader = FrameReader(10_000, 10_000)
    reader.feed(data)
    try:
        while (frame := reader.next()) is not None:
            read_outputs(*frame, CLASSES, 2)
    except FrameError:
        pass


@pytest.mark.parametrize("lists", [1, 8])
def test_a_header_of_nothing_but_short_texts_takes_little_memory(lists: int) -> None:
    """64 MB of them would take 1.5 GB, in one list or in several."""
    texts = b"".join(b"\xa2%c%c" % (97 + i % 26, 97 + i // 26) for i in range(676))
    each = 16 * 2**20 // 676 // lists
    one = b"\xdd" + struct.pack(">I", each * 676) + texts * each
    head = b"\x81\xa1a\xdd" + struct.pack(">I", lists) + one * lists
    reader = FrameReader()
    reader.feed(struct.pack("<IQ", len(head), 0) + head)
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            reader.next()
        assert tracemalloc.get_traced_memory()[1] < 450 * 2**20
    finally:
        tracemalloc.stop()


def test_more_texts_than_a_frame_may_hold_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_TEXTS", 3)
    table = {name: np.array(["a", "b"], dtype=object) for name in "xy"}
    describe_inputs(Table({"x": table["x"], "number": np.ones(100)}))
    with pytest.raises(FrameError, match="4 texts are more"):
        describe_inputs(Table(table))


@pytest.mark.parametrize("container", [b"\x90", b"\x80"], ids=["list", "map"])
def test_a_header_of_nothing_but_containers_takes_no_memory(container: bytes) -> None:
    count = 2**21
    head = b"\x81\xa1a\xdd" + struct.pack(">I", count) + container * count
    reader = FrameReader()
    reader.feed(struct.pack("<IQ", len(head), 0) + head)
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            reader.next()
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
