"""Answered JSON lines read back: what is written of them in another format is what was written at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.codecs.stream.answered_lines import Unanswered, read_answered
from foretell.codecs.stream.base import Answered, Chunk, Layout, Raw, StreamFormat
from foretell.core.signature import Column, Output, Signature, Tensor
from foretell.core.values import Outputs
from tests.streaming import ARROW, CSV, LIMITS, NDJSON, PLAIN, PRICE, streamed

SEVERAL = Signature((Column("x"), Column("y")), output=Output("regression", names=("up", "down")))
ROWS = (
    b'{"x":1,"n":2,"plan":"gold","at":"2026-11-20T10:30:00Z","ok":true,"id":"n0"}',
    b'{"id":"n1","x":"oops","ok":false}',
    b"[1.5,null,null,null,false]",
    b'{"features":{"x":3,"ok":true},"id":"n3"}',
    b"not json",
    b'{"x":1,"ok":true,"prediction":7,"id":"n5"}',
    b'{"x":1,"ok":false,"id":"=1+1,\\"q\\""}',
    b"5",
    b"{}",
)


def again(body: bytes, target: StreamFormat, signature: Signature, layout: Layout, on_error: Any = "null") -> bytes:
    """The answers to ``body`` in JSON lines, written as ``target``."""
    lines = streamed(body, NDJSON, NDJSON, signature, on_error=on_error).splitlines()
    writer = target.writer(signature.output, on_error, summary=False)
    out = b""
    for start in range(0, len(lines), LIMITS.chunk_rows):
        part = lines[start : start + LIMITS.chunk_rows]
        out += writer.write(read_answered(Raw(start, len(part), part), signature), layout)
    return out


def layout_of(body: bytes, signature: Signature) -> Layout:
    reader = NDJSON.reader(signature, "m v1", LIMITS, {})
    reader.feed(body)
    reader.take(flush=True)
    assert reader.layout is not None
    return reader.layout


@pytest.mark.parametrize("target", [CSV, ARROW])
@pytest.mark.parametrize("signature", [PRICE, PLAIN, SEVERAL])
def test_lines_become_another_format_as_the_rows_themselves_do(target: StreamFormat, signature: Signature) -> None:
    rows = ROWS if signature is PRICE else (b'{"x":1,"y":0.1,"id":7}', b"[1,2]", b'{"x":1}', b'{"line":{"x":1},"y":2}')
    body = b"\n".join([*rows, b""])
    expected = streamed(body, NDJSON, target, signature)
    found = again(body, target, signature, layout_of(body, signature))
    assert found == (expected if target is CSV else expected[:-8])


def test_left_out_rows_stay_out() -> None:
    body = b"\n".join([*ROWS, b""])
    lines = streamed(body, NDJSON, NDJSON, PRICE, on_error="skip").splitlines()
    found = read_answered(Raw(0, len(lines), lines), PRICE)
    assert found.chunk.count == 4 and not found.faults
    assert found.outputs is not None and found.outputs.count == 4


def written(outputs: Outputs) -> tuple[Answered, bytes, bytes]:
    """An answered chunk, and its JSON lines and CSV."""

    class Nothing:
        def columns(self) -> dict[str, Any]:
            return {"id": list(range(outputs.count))}

    answered = Answered(Chunk(0, outputs.count, Nothing(), None), outputs)
    layout = Layout({"id": None})
    texts = [kind.writer(outputs.output, "null", summary=False).write(answered, layout) for kind in (NDJSON, CSV)]
    return answered, texts[0], texts[1]


@pytest.mark.parametrize(
    "outputs",
    [
        Outputs(Output("classification", ("a", "b")), indices=np.array([1, 0])),
        Outputs(Output("classification", (False, True), probabilities=True), indices=np.array([1, 0])),
        Outputs(Output("classification"), values=np.array(["red", "blue"], dtype=object)),
        Outputs(Output("classification"), values=np.array([3, 4])),
        Outputs(Output("classification"), values=np.array([3, "x"], dtype=object)),
        Outputs(Output("tensors", tensors=(Tensor("t", "float32", (-1, 2)),)), tensors={"t": np.eye(2, dtype="f4")}),
        Outputs(Output("tensors"), tensors={"a": np.eye(2), "b": np.arange(2)}),
        Outputs(
            Output("classification", (1.5, 2.5), probabilities=True),
            indices=np.array([1, 0]),
            probabilities=np.array([[0.1, 0.9], [1 / 3, 2 / 3]]),
        ),
    ],
)
def test_every_kind_of_answer_is_read_back(outputs: Outputs) -> None:
    _, lines, csv = written(outputs)
    rows = lines.splitlines()
    found = read_answered(Raw(0, len(rows), rows), Signature((Column("x"),), output=outputs.output))
    writer = CSV.writer(outputs.output, "null", summary=False)
    assert writer.write(found, Layout({"id": None})) == csv


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1]",
        b'{"x":1}',
        b'{"prediction":"third"}',
        b'{"prediction":[1]}',
        b'{"prediction":null}',
    ],
)
def test_what_the_model_cannot_have_answered_is_refused(line: bytes) -> None:
    with pytest.raises(Unanswered):
        read_answered(Raw(0, 1, [line]), PRICE)
