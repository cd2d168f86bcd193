"""Parquet files in streams: kept until they are whole, read in bounded memory, written row group by row group."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import tempfile
from typing import Any

import pytest

from foretell.bootstrap import STREAMS
from foretell.codecs.arrow import row_groups
from foretell.codecs.stream import parquet as parquet_module
from foretell.codecs.stream.base import StreamFormat, StreamLimits, Summary
from foretell.codecs.stream.spool import Spool
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature, Tensor
from foretell.errors import (
    BodyTooLarge,
    InvalidInput,
    MalformedRequest,
    NotAcceptable,
    StorageFull,
    UnsupportedMediaType,
)
from tests.columnar_bodies import parquet
from tests.streaming import ARROW, CSV, LIMITS, NDJSON, PARQUET, PLAIN, PRICE, read, stream_of, streamed, table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def file_of(rows: int = 5, group_rows: int = 2, **more: Any) -> bytes:
    flat = pa.table(table(rows, **more).drop_columns(["tags"]))
    return parquet(flat, row_group_size=group_rows)


def opened(body: bytes) -> Any:
    return pq.read_table(io.BytesIO(body))


def plain(rows: int = 4) -> Any:
    columns = {"id": [f"n{n}" for n in range(rows)], "x": [float(n) for n in range(rows)], "y": [1.0] * rows}
    return pa.table(columns)


def rows_of(answer: bytes, kind: StreamFormat) -> list[dict[str, Any]]:
    if kind is NDJSON:
        return [json.loads(line) for line in answer.splitlines()]
    if kind is CSV:
        return list(csv.DictReader(io.StringIO(answer.decode())))
    rows: list[dict[str, Any]] = (read(answer) if kind is ARROW else opened(answer)).to_pylist()
    return rows


def test_rows_come_back_with_their_own_types_and_the_answers() -> None:
    found = opened(streamed(file_of(7), PARQUET, PARQUET))
    assert found.column_names == ["id", "x", "plan", "at", "ok", "prediction", "class_name", "confidence", "error"]
    assert found["id"].to_pylist() == [f"n{n}" for n in range(7)]
    assert [str(field.type) for field in found.schema][:5] == [
        "string",
        "float",
        "string",
        "timestamp[ms, tz=UTC]",
        "bool",
    ]
    assert found["prediction"].to_pylist() == [1, 0, 1, 0, 1, 0, 1]
    assert found["error"].null_count == 7


@pytest.mark.parametrize("target", STREAMS, ids=lambda each: each.media_type)
@pytest.mark.parametrize("source", STREAMS, ids=lambda each: each.media_type)
@pytest.mark.parametrize("on_error", ["null", "skip"])
def test_every_format_is_answered_in_every_other_with_the_same_rows(
    source: StreamFormat, target: StreamFormat, on_error: Any
) -> None:
    rows = [{"id": f"n{n}", "x": float(n), "y": 1.0} for n in range(8)]
    bad: dict[str, Any] = {"id": "bad", "x": None, "y": 1.0}
    rows.insert(3, bad)
    batch = pa.Table.from_pylist(rows)
    lines = "id,x,y\n" + "".join(f"{row['id']},{'' if row['x'] is None else row['x']},1.0\n" for row in rows)
    bodies = {
        NDJSON: "\n".join(json.dumps(row) for row in rows).encode(),
        CSV: lines.encode(),
        ARROW: stream_of(*batch.to_batches()),
        PARQUET: parquet(batch, row_group_size=4),
    }
    answer = streamed(bodies[source], source, target, PLAIN, on_error=on_error)
    found = rows_of(answer, target)
    wanted = [row for row in rows if on_error == "null" or row is not bad]
    assert [row["id"] for row in found] == [row["id"] for row in wanted]
    assert [row["prediction"] and float(row["prediction"]) for row in found if row["id"] != "bad"] == [
        float(n + 1) for n in range(8)
    ]
    if on_error == "null":
        assert "null_not_allowed" in found[3]["error"]
        assert not any(row.get("error") for row in found if row["id"] != "bad")


def test_the_summary_stands_in_the_files_metadata() -> None:
    metadata = pq.read_metadata(io.BytesIO(streamed(file_of(4), PARQUET, PARQUET, summary=True))).metadata
    assert json.loads(metadata[b"foretell.summary"]) == {"rows": 4, "faulty": 0, "complete": True}
    quiet = pq.read_metadata(io.BytesIO(streamed(file_of(4), PARQUET, PARQUET))).metadata
    assert b"foretell.summary" not in quiet


def test_row_groups_leave_as_they_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "GROUP_ROWS", 6)
    body = streamed(parquet(plain(20)), PARQUET, PARQUET, PLAIN)
    metadata = pq.read_metadata(io.BytesIO(body))
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [6, 6, 6, 2]
    monkeypatch.setattr(parquet_module, "GROUP_BYTES", 1)
    body = streamed(parquet(plain(5)), PARQUET, PARQUET, PLAIN)
    assert pq.read_metadata(io.BytesIO(body)).num_row_groups == 2


def test_a_file_without_rows_is_answered_by_one_and_a_part_of_one_is_none() -> None:
    found = opened(streamed(parquet(plain(0)), PARQUET, PARQUET, PLAIN))
    assert (found.num_rows, found.column_names) == (0, ["id", "x", "y", "prediction", "error"])
    assert streamed(b"", PARQUET, PARQUET, PLAIN) == b""
    reader = PARQUET.reader(PLAIN, "m v1", LIMITS, {})
    reader.feed(parquet(plain()))
    reader.end()
    assert reader.layout is not None
    assert PARQUET.writer(PLAIN.output, "null", summary=True).end(Summary(), reader.layout) == b""
    reader.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda body: body[:-20], "begin and end"),
        (lambda body: b"PAR1PAR1", "begin and end"),
        (lambda body: body[:-8] + b"\xff\xff\xff\x00PAR1", "cut short|larger than"),
        (lambda body: body[:-408] + b"\xff" * 400 + body[-8:], "footer"),
        (lambda body: body[:4] + b"\xff" * 200 + body[204:], "damaged|cut short"),
        (lambda body: body[:4] + body[400:], "damaged|points"),
    ],
)
def test_what_is_no_such_file_is_refused(spoil: Any, said: str) -> None:
    with pytest.raises(MalformedRequest, match=said):
        streamed(spoil(parquet(plain(200), compression="none")), PARQUET, PARQUET, PLAIN)


def test_columns_that_cannot_be_read_in_bounded_memory_are_named() -> None:
    with pytest.raises(MalformedRequest, match="'tags' is nested"):
        streamed(parquet(pa.table(table(3))), PARQUET, ARROW)
    pairs = plain().append_column("pair", pa.array([{"a": 1, "b": 2}] * 4))
    with pytest.raises(MalformedRequest, match="'pair' is nested"):
        streamed(parquet(pairs), PARQUET, ARROW, PLAIN)
    wide = plain().append_column("blob", pa.array([b"0" * 2000] * 4, pa.binary(2000)))
    with pytest.raises(MalformedRequest, match="'blob'"):
        streamed(parquet(wide), PARQUET, ARROW, PLAIN)
    with pytest.raises(MalformedRequest, match="at most 2"):
        streamed(parquet(plain()), PARQUET, ARROW, PLAIN, limits=StreamLimits(BodyLimits(max_columns=2)))


def test_a_schema_that_does_not_fit_and_a_model_of_tensors_are_refused() -> None:
    with pytest.raises(InvalidInput, match="missing"):
        streamed(parquet(plain().drop_columns(["y"])), PARQUET, PARQUET, PLAIN)
    with pytest.raises(UnsupportedMediaType, match="tensors"):
        PARQUET.reader(Signature(tensors=(Tensor("t", "float32", (-1, 2)),)), "m v1", LIMITS, {})


def test_rows_whose_types_parquet_cannot_hold_are_refused_before_an_answer() -> None:
    batch = pa.record_batch(
        [pa.array([1.0]), pa.array([1.0]), pa.array([None], pa.month_day_nano_interval())], names=["x", "y", "odd"]
    )
    with pytest.raises(NotAcceptable, match="Parquet cannot hold"):
        streamed(stream_of(batch), ARROW, PARQUET, PLAIN)


# -- memory that is known beforehand -----------------------------------------------------------------------------------


def batches_of(body: bytes, **limits: Any) -> list[Any]:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(body)
        return list(row_groups.RowGroups(file, BodyLimits(**limits)).batches())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_a_long_text_that_stands_once_and_in_every_row_makes_batches_short(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_groups, "BATCH_BYTES", 100_000)
    texts = pa.array(["a" * 10_000, *["b"] * 999], pa.string()).cast(kind)
    found = batches_of(parquet(pa.table({"text": texts})))
    assert max(batch.num_rows for batch in found) == 10
    assert sum(batch.num_rows for batch in found) == 1000
    short = batches_of(parquet(pa.table({"text": pa.array(["a", "b"] * 500).cast(kind)})))
    assert len(short) == 1


def test_a_categorical_column_comes_as_values_within_the_same_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "BATCH_BYTES", 100_000)
    texts = pa.array(["a" * 10_000, *["b"] * 999]).dictionary_encode()
    found = batches_of(parquet(pa.table({"text": texts})))
    assert max(batch.num_rows for batch in found) == 10
    assert {str(batch.schema.field(0).type) for batch in found} == {"string"}


def test_long_texts_in_pages_make_batches_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "BATCH_BYTES", 100_000)
    texts = pa.table({"text": [str(n) * 2000 for n in range(100, 200)]})
    found = batches_of(parquet(texts, use_dictionary=False, compression="zstd"))
    assert max(batch.num_rows for batch in found) <= 100_000 // 6000
    assert pa.Table.from_batches(found).equals(texts)


def test_a_dictionary_that_cannot_be_looked_at_counts_as_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(row_groups, "_is_dictionary", lambda _: False)
    found = batches_of(parquet(pa.table({"text": [f"{n:08}" for n in range(1000)]})))
    assert max(batch.num_rows for batch in found) == 100_000 // 12_000


def test_pages_that_are_too_large_at_once_are_refused_before_any_is_read() -> None:
    body = parquet(pa.table({"text": ["a" * 100_000] * 4}), use_dictionary=False, compression="zstd")
    assert len(body) < 2000
    with pytest.raises(BodyTooLarge, match=r"Row group 0 .* at once.*max_record_batch_bytes"):
        batches_of(body, max_body_bytes=10_000)


def test_too_many_pages_of_a_row_group_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "MAX_PAGES", 3)
    with pytest.raises(MalformedRequest, match="more than 3 pages"):
        batches_of(parquet(pa.table({"x": [float(n) for n in range(5000)]}), data_page_size=1000, use_dictionary=False))


def test_a_batch_of_dictionaries_is_cut_where_its_texts_would_grow_too_large() -> None:
    texts = pa.array(["a" * (1024 * 1024), "b"]).dictionary_encode()
    batch = pa.record_batch([texts.take(pa.array([0] * 20 + [1] * 3)), pa.nulls(23, pa.float64())], names=["t", "x"])
    batch = batch.set_column(1, "x", pa.array([1.0] * 23))
    wide = pa.record_batch([*batch.columns, pa.array([1.0] * 23)], names=["t", "x", "y"])
    reader = ARROW.reader(PLAIN, "m v1", StreamLimits(BodyLimits()), {})
    reader.feed(stream_of(wide))
    counts = []
    while (raw := reader.take()) is not None:
        counts.append(raw.count)
    assert counts == [8, 8, 7]
    views = wide.set_column(0, "t", wide.column(0).dictionary_decode().cast(pa.string_view()))
    reader = ARROW.reader(PLAIN, "m v1", StreamLimits(BodyLimits()), {})
    reader.feed(stream_of(views))
    first = reader.take()
    assert first is not None and first.count == 8


# -- the file on disk --------------------------------------------------------------------------------------------------


def test_a_spool_has_no_name_and_is_gone_when_it_is_closed() -> None:
    spool = Spool(100)
    spool.write(b"abc")
    spool.write(b"de")
    assert (os.pread(spool.file.fileno(), 10, 0), spool.size) == (b"abcde", 5)
    with pytest.raises(BodyTooLarge, match=r"100 bytes.*limits\.max_spool_bytes"):
        spool.write(b"f" * 96)
    spool.close()
    assert spool.file.closed
    Spool(1).close()


class Full(io.BytesIO):
    """A file on a disk with no room."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self._code = code

    def write(self, _: Any) -> int:
        raise OSError(self._code, "no")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full(code))
    with pytest.raises(StorageFull, match="no room") as caught:
        Spool(100).write(b"abc")
    assert "Arrow stream" in (caught.value.hint or "")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full(errno.EIO))
    with pytest.raises(OSError, match="no"):
        Spool(100).write(b"abc")


def test_flat_columns_of_any_type_come_back() -> None:
    from decimal import Decimal

    more = plain(3)
    for name, array in {
        "day": pa.array([1, None, 3], pa.date32()),
        "raw": pa.array([b"a", None, b"\xff"]),
        "fixed": pa.array([b"abcd"] * 3, pa.binary(4)),
        "cost": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
        "local": pa.array([1, 2, None], pa.timestamp("us")),
        "none": pa.nulls(3),
    }.items():
        more = more.append_column(name, array)
    found = opened(streamed(parquet(more), PARQUET, PARQUET, PLAIN))
    assert found.select(more.column_names).to_pylist() == more.to_pylist()


def test_moments_without_a_time_zone_are_no_datetimes_of_a_model() -> None:
    rows = 5
    body = parquet(pa.table(table(rows).drop_columns(["tags"])), version="1.0", use_deprecated_int96_timestamps=True)
    signature = Signature(
        (
            Column("at", ColumnType.DATETIME),
            Column("plan", ColumnType.CATEGORY, nullable=True),
            Column("ok", ColumnType.BOOLEAN),
        ),
        output=PRICE.output,
    )
    errors = opened(streamed(body, PARQUET, PARQUET, signature))["error"].to_pylist()
    assert all("wrong_type: at" in error for error in errors)


def test_moments_that_python_has_no_value_for_cost_no_row_its_answer() -> None:
    far = plain(2).append_column("far", pa.array([2**62, 0], pa.timestamp("us")))
    nested = plain(2).append_column("far", pa.array([[2**62], []], pa.list_(pa.timestamp("us"))))
    for rows in (far, nested):
        body = streamed(stream_of(*rows.to_batches()), ARROW, NDJSON, PLAIN)
        assert [json.loads(line)["prediction"] for line in body.splitlines()] == [1.0, 2.0]
