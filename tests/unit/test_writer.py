"""The lane's writer gives, byte for byte, what the ordinary way's translation gives."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.api.native.translate import single_json
from foretell.core.identity import Ref
from foretell.core.signature import Label, Output, Tensor
from foretell.core.values import Outputs, first_not_finite
from foretell.execution.base import Run
from foretell.wire.writer import SingleWriter, writable

REF = Ref("iris-2", "v1.0")
RUN = Run(3, 1.0, 0.000123456)

labels: st.SearchStrategy[list[Label]] = st.one_of(
    st.lists(st.integers(-5, 5), min_size=2, max_size=4, unique=True),
    st.lists(st.text(max_size=8), min_size=2, max_size=4, unique=True),
    st.just([False, True]),
    st.just([0.5, 1.5]),
)


@st.composite
def classified(draw: st.DrawFn) -> Outputs:
    classes = draw(labels)
    names = draw(st.none() | st.lists(st.text(max_size=8), min_size=len(classes), max_size=len(classes)))
    rows = draw(st.integers(1, 5))
    indices = draw(arrays.arrays(np.intp, rows, elements=st.integers(0, len(classes) - 1)))
    output = Output("classification", tuple(classes), None if names is None else tuple(names), True)
    if draw(st.booleans()):
        return Outputs(output, indices=indices)
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    likely = st.floats(0, 1, width=32 if dtype is np.float32 else 64)
    elements = st.one_of(likely, likely, likely, st.sampled_from([np.nan, np.inf, -np.inf]))
    return Outputs(
        output, indices=indices, probabilities=draw(arrays.arrays(dtype, (rows, len(classes)), elements=elements))
    )


@st.composite
def regressed(draw: st.DrawFn) -> Outputs:
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    width: Literal[32, 64] = 32 if dtype is np.float32 else 64
    shape = draw(st.sampled_from([(3,), (3, 1)]))
    return Outputs(Output("regression"), values=draw(arrays.arrays(dtype, shape, elements=st.floats(width=width))))


@given(st.one_of(classified(), regressed()))
def test_every_row_is_written_as_the_ordinary_way_writes_it(outputs: Outputs) -> None:
    if outputs.values is not None and outputs.values.ndim == 2:
        outputs = Outputs(outputs.output, values=outputs.values.ravel())
    writer = SingleWriter(REF, outputs.output)
    writer.begin(outputs, RUN)
    for row in range(outputs.count):
        written = writer.body(row, b"01ID")
        if first_not_finite(outputs.part(row, row + 1)) is not None:
            assert written is None, "what is no number is left to the ordinary way, which refuses it"
            continue
        moment = json.loads(written or b"")["timestamp"]
        assert written == single_json(
            outputs, row, REF, prediction_id="01ID", timestamp=moment, inference_ms=RUN.duration_s * 1e3
        )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Output("regression"), True),
        (Output("classification", (0, 1)), True),
        (Output("classification"), False),
        (Output("regression", names=("a", "b")), False),
        (Output("classification", ("a", "b"), names=("a", "b")), False),
        (Output("tensors", tensors=(Tensor("t", "float32", (-1, 3)),)), False),
    ],
)
def test_shapes_the_writer_does_not_know_go_the_ordinary_way(output: Output, expected: bool) -> None:
    assert writable(output) is expected


def test_the_timestamp_is_rfc_3339_with_milliseconds_in_utc() -> None:
    outputs: Any = Outputs(Output("regression"), values=np.array([1.0]))
    writer = SingleWriter(REF, outputs.output)
    writer.begin(outputs, RUN)
    document = json.loads(writer.body(0, b"x") or b"")
    assert document["timestamp"].endswith("Z") and len(document["timestamp"]) == len("2026-11-20T10:30:00.000Z")
    assert document["inference_time_ms"] == 0.123


@pytest.mark.parametrize(
    ("output", "given"),
    [
        (Output("regression"), {"values": np.zeros((3, 2))}),
        (Output("regression"), {"tensors": {"t": np.zeros(3)}}),
        (Output("classification", (0, 1)), {"values": np.zeros(3)}),
        (Output("classification", (0, 1)), {"indices": np.array([0, 1, 2])}),
    ],
)
def test_outputs_of_another_kind_are_refused_and_leave_what_was_there(output: Output, given: dict[str, Any]) -> None:
    writer = SingleWriter(REF, output)
    with pytest.raises((ValueError, IndexError)):
        writer.begin(Outputs(output, **given), RUN)
    with pytest.raises(IndexError):
        writer.body(0, b"id")


@given(st.one_of(classified(), regressed()))
def test_an_answer_in_two_parts_is_the_answer_of_a_batch_of_one(outputs: Outputs) -> None:
    alone = outputs.part(0, 1)
    if not writable(alone.output):
        return
    writer, parts = SingleWriter(REF, alone.output), SingleWriter(REF, alone.output)
    writer.begin(alone, RUN)
    parts.stamp(RUN)
    whole, head = writer.body(0, b"id"), parts.head(alone)
    assert (head is None) == (whole is None)
    if head is not None and whole is not None:
        steady = [
            {k: v for k, v in json.loads(text).items() if k != "timestamp"}
            for text in (whole, parts.whole(head, b"id"))
        ]
        assert steady[0] == steady[1]
