"""Streams of columns through a reader, a fake model and a writer, as tests of several formats need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from foretell.bootstrap import STREAMS
from foretell.codecs.stream.base import Answered, OnError, StreamFormat, StreamLimits, Summary
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table

pa = pytest.importorskip("pyarrow")

NDJSON, CSV, ARROW, PARQUET = STREAMS
PRICE = Signature(
    (
        Column("x", minimum=-10),
        Column("n", ColumnType.INTEGER, nullable=True),
        Column("plan", ColumnType.CATEGORY, nullable=True, categories=("gold", "silver"), closed=True),
        Column("at", ColumnType.DATETIME, nullable=True),
        Column("ok", ColumnType.BOOLEAN),
    ),
    output=Output("classification", (0, 1), ("no", "yes"), True),
)
PLAIN = Signature((Column("x"), Column("y")), output=Output("regression"))
LIMITS = StreamLimits(BodyLimits(), chunk_rows=3)
NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def stream_of(*batches: Any, schema: Any = None, options: Any = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def table(rows: int = 5, **more: Any) -> Any:
    columns: dict[str, Any] = {
        "id": pa.array([f"n{n}" for n in range(rows)]).dictionary_encode(),
        "x": pa.array([float(n) for n in range(rows)], pa.float32()),
        "plan": pa.array(["gold", None, "silver"] * rows)[:rows].dictionary_encode(),
        "at": pa.array([NOW] * rows, pa.timestamp("ms", "UTC")),
        "ok": pa.array([n % 2 == 0 for n in range(rows)]),
        "tags": pa.array([[n] for n in range(rows)]),
        **more,
    }
    return pa.record_batch(list(columns.values()), names=list(columns))


def outputs_of(signature: Signature, inputs: Inputs) -> Outputs:
    if isinstance(inputs, Table):
        indices = inputs.columns["ok"].astype(np.intp)
        return Outputs(signature.output, indices=indices, probabilities=np.full((inputs.count, 2), 0.5))
    assert isinstance(inputs, Matrix)
    values = inputs.values.sum(axis=1)
    return Outputs(signature.output, values=np.stack([values, -values], axis=1) if signature.output.several else values)


def streamed(
    body: bytes,
    source: StreamFormat = ARROW,
    target: StreamFormat = ARROW,
    signature: Signature = PRICE,
    *,
    on_error: OnError = "null",
    summary: bool = False,
    limits: StreamLimits = LIMITS,
    step: int = 17,
) -> bytes:
    reader = source.reader(signature, "m v1", limits, {})
    writer = target.writer(signature.output, on_error, summary=summary)
    out, total = b"", Summary()

    def pump(flush: bool) -> None:
        nonlocal out
        while (raw := reader.take(flush=flush)) is not None:
            chunk = reader.read(raw) or reader.explain(raw)
            outputs = None if chunk.inputs is None else outputs_of(signature, chunk.inputs)
            total.rows, total.faulty = total.rows + chunk.count, total.faulty + len(chunk.faults)
            assert reader.layout is not None
            out += writer.write(Answered(chunk, outputs, chunk.faults), reader.layout)

    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
        pump(False)
    try:
        reader.end()
        pump(True)
        total.complete = True
        return out + writer.end(total, reader.layout)
    finally:
        reader.close()


def read(body: bytes) -> Any:
    return pa.ipc.open_stream(body).read_all()
