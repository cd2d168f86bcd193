"""Arrow streams: cut out of bytes that come in any pieces, judged by column, answered with the columns' own types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from foretell.codecs.stream.base import Answered, StreamLimits, Summary
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, Output, Signature, Tensor
from foretell.core.values import Outputs
from foretell.errors import BodyTooLarge, InvalidInput, MalformedRequest, UnsupportedMediaType
from tests.streaming import ARROW, CSV, LIMITS, NDJSON, NOW, PLAIN, PRICE, read, stream_of, streamed, table

pa = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_batches_come_back_with_their_own_types_and_the_answers(compression: str | None) -> None:
    batch = table(7)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    found = read(streamed(stream_of(batch, batch.slice(2, 3), options=options)))
    assert found.column_names == [*batch.schema.names, "prediction", "class_name", "confidence", "error"]
    assert found["id"].to_pylist() == [f"n{n}" for n in [*range(7), 2, 3, 4]]
    assert found.schema.field("x").type == pa.float32()
    assert found["tags"].to_pylist()[:2] == [[0], [1]]
    assert found["prediction"].to_pylist() == [1, 0, 1, 0, 1, 0, 1, 1, 0, 1]
    assert found["class_name"].to_pylist()[:2] == ["yes", "no"]
    assert found["error"].null_count == 10


def test_a_bad_value_is_a_fault_of_its_row_alone() -> None:
    batch = table(
        6,
        x=pa.array([1.0, float("nan"), None, -11.0, 4.0, 5.0]),
        plan=pa.array(["gold", "gold", "gold", "gold", "goold", None]),
    )
    found = read(streamed(stream_of(batch)))
    errors = found["error"].to_pylist()
    assert errors[0] is None and errors[5] is None
    assert [error.split(":")[0] for error in errors[1:5]] == [
        "not_finite",
        "null_not_allowed",
        "out_of_bounds",
        "unknown_category",
    ]
    assert "did you mean 'gold'" in errors[4]
    assert found["prediction"].to_pylist() == [1, None, None, None, None, 0]
    kept = read(streamed(stream_of(batch), on_error="skip"))
    assert kept["id"].to_pylist() == ["n0", "n5"]
    assert "error" not in kept.column_names
    quiet = StreamLimits(BodyLimits(), show_values=False)
    assert "goold" not in read(streamed(stream_of(batch), limits=quiet))["error"].to_pylist()[4]


def test_columns_of_types_no_model_takes_are_wrong_in_every_row() -> None:
    batch = pa.record_batch([pa.array([[1.0], [2.0]]), pa.array([1.0, 2.0])], names=["x", "y"])
    found = read(streamed(stream_of(batch), signature=PLAIN))
    assert all("wrong_type" in error for error in found["error"].to_pylist())


def test_arrow_and_the_line_formats_become_each_other() -> None:
    batch = table(4, x=pa.array([0.0, float("nan"), 2.0, 3.0]))
    lines = [json.loads(line) for line in streamed(stream_of(batch), target=NDJSON).splitlines()]
    assert lines[0]["at"].startswith("2026-11-20T10:30:00")
    assert lines[0]["tags"] == [0]
    assert lines[1]["error"].startswith("not_finite")
    text = streamed(stream_of(batch), target=CSV).decode().splitlines()
    assert text[0] == "id,x,plan,at,ok,tags,prediction,class_name,confidence,error"
    assert text[1].startswith("n0,0.0,gold,2026-11-20T10:30:00Z,true,[0],1,yes,0.5,")
    back = read(streamed("\n".join(text).replace("[0]", "mine").encode().split(b",prediction")[0] + b"\n", CSV))
    assert back.num_rows == 0


def test_csv_becomes_arrow_with_the_types_of_the_signature() -> None:
    body = b"id,x,n,ok,at\n7,1.5,3,true,2026-11-20T10:30:00Z\n8,z,,false,\nhalf\n"
    found = read(streamed(body, CSV))
    assert [str(field.type) for field in found.schema] == [
        "string", "double", "int64", "bool", "timestamp[us, tz=UTC]", "int64", "string", "double", "string",
    ]  # fmt: skip
    assert found["x"].to_pylist() == [1.5, None, None]
    assert found["n"].to_pylist() == [3, None, None]
    assert found["at"].to_pylist()[0] == NOW
    assert found["prediction"].to_pylist() == [1, None, None]


def test_json_lines_become_arrow_and_odd_values_text_or_null() -> None:
    body = b'{"x":1,"y":2,"id":[1]}\n{"x":1,"y":2,"id":"a"}\n{"x":1e999,"y":true}\n'
    found = read(streamed(body, NDJSON, signature=PLAIN))
    assert found["id"].to_pylist() == ["[1]", "a", None]
    assert found["prediction"].to_pylist() == [3.0, 3.0, None]


@pytest.mark.parametrize(
    ("classes", "kind"),
    [((True, False), "bool"), ((1, 2), "int64"), ((0.5, 1.5), "double"), (("a", "b"), "string"), ((1, "b"), "string")],
)
def test_labels_have_the_narrowest_type_there_is(classes: Sequence[Any], kind: str) -> None:
    signature = Signature((Column("x"),), output=Output("classification", tuple(classes)))
    reader = ARROW.reader(signature, "m v1", LIMITS, {})
    reader.feed(stream_of(pa.record_batch([pa.array([1.0])], names=["x"])))
    raw = reader.take()
    assert raw is not None
    chunk = reader.read(raw)
    assert chunk is not None
    assert reader.layout is not None
    writer = ARROW.writer(signature.output, "skip", summary=False)
    outputs = Outputs(signature.output, indices=np.array([1], dtype=np.intp))
    body = writer.write(Answered(chunk, outputs), reader.layout) + writer.end(Summary(1, complete=True), reader.layout)
    assert str(read(body).schema.field("prediction").type) == kind


def test_several_outputs_are_several_columns() -> None:
    signature = Signature((Column("x"), Column("y")), output=Output("regression", names=("a", "b")))
    batch = pa.record_batch([pa.array([1.0]), pa.array([2.0])], names=["x", "y"])
    found = read(streamed(stream_of(batch), signature=signature))
    assert found["prediction_a"].to_pylist() == [3.0]
    assert found["prediction_b"].to_pylist() == [-3.0]


def test_the_summary_stands_in_a_last_batch_without_rows() -> None:
    reader = pa.ipc.open_stream(streamed(stream_of(table(4)), summary=True))
    last = None
    rows = 0
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            break
        rows, last = rows + batch.num_rows, metadata
    assert rows == 4
    assert last is not None
    assert json.loads(last[b"foretell.summary"]) == {"rows": 4, "faulty": 0, "complete": True}


def test_a_stream_without_rows_has_a_schema_and_one_that_is_not_whole_no_end() -> None:
    empty = read(streamed(stream_of(schema=table(1).schema)))
    assert (empty.num_rows, empty.column_names[-1]) == (0, "error")
    assert streamed(b"", NDJSON) == b""
    writer = ARROW.writer(PRICE.output, "null", summary=True)
    reader = ARROW.reader(PRICE, "m v1", LIMITS, {})
    reader.feed(stream_of(table(1)))
    assert writer.end(Summary(complete=False), reader.layout) == b""


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda body: body[:-20], MalformedRequest),
        (lambda body: b"ARROW1\0\0" + body, MalformedRequest),
        (lambda body: body[8:], MalformedRequest),
        (lambda body: body[:4] + b"\xff\xff\xff\xff" + body[8:], MalformedRequest),
        (lambda body: body[:4] + b"\xff\xff\xff\x7f" + body[8:], BodyTooLarge),
        (lambda body: body[:-8] + body, MalformedRequest),
        (lambda body: body[:8] + b"\xff" * 64 + body[72:], MalformedRequest),
    ],
)
def test_what_is_no_stream_is_refused(spoil: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        streamed(spoil(stream_of(table(3))))


def test_what_stands_after_the_end_is_not_looked_at() -> None:
    assert read(streamed(stream_of(table(3)) + b"more", step=10_000)).num_rows == 3


def test_a_batch_beyond_the_bound_and_a_schema_that_does_not_fit_are_refused() -> None:
    small = StreamLimits(BodyLimits(), batch_bytes=2000)
    with pytest.raises(BodyTooLarge, match="max_record_batch_bytes"):
        streamed(stream_of(table(500)), limits=small)
    with pytest.raises(InvalidInput, match="ok"):
        streamed(stream_of(pa.record_batch([pa.array([1.0])], names=["x"])))
    with pytest.raises(UnsupportedMediaType, match="tensors"):
        ARROW.reader(Signature(tensors=(Tensor("t", "float32", (-1, 2)),)), "m v1", LIMITS, {})
