"""Arrow streams and Parquet files: types that mean something are read, and no body takes memory it did not send."""

from __future__ import annotations

import datetime
import resource
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.arrow import arrow_codec, parquet_codec
from foretell.codecs.arrow.messages import MAX_MESSAGES
from foretell.codecs.arrow.pages import MAX_FOOTER_BYTES
from foretell.codecs.base import Answers, Codec
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, Table
from foretell.errors import BodyTooLarge, InvalidInput, MalformedRequest, RequestError
from tests.columnar_bodies import ARROW, PARQUET, parquet, rows_of, stream
from tests.report import Report

LIMITS = BodyLimits(max_rows=50, max_body_bytes=200_000)
UTC = datetime.UTC
X = Signature((Column("x"),))
WRITERS: list[tuple[Codec, Callable[..., bytes]]] = [(arrow_codec, stream), (parquet_codec, parquet)]
both = pytest.mark.parametrize(("codec", "write"), WRITERS, ids=["arrow", "parquet"])


def read(codec: Codec, body: bytes, signature: Signature = X, limits: BodyLimits = LIMITS) -> Inputs:
    return bind(codec.parse(body, True, limits, {}), signature, limits, "m v1")


def refused(codec: Codec, body: bytes, signature: Signature = X, limits: BodyLimits = LIMITS) -> RequestError:
    with pytest.raises((MalformedRequest, InvalidInput, BodyTooLarge)) as caught:
        read(codec, body, signature, limits)
    return caught.value


def column(codec: Codec, write: Callable[..., bytes], array: Any, kind: ColumnType, **rules: Any) -> list[Any]:
    signature = Signature((Column("x", kind, **rules),))
    inputs = read(codec, write(pa.table({"x": array})), signature)
    if isinstance(inputs, Matrix):
        return [None if np.isnan(value) else value for value in inputs.values[:, 0].tolist()]
    assert isinstance(inputs, Table)
    values: list[Any] = inputs.columns["x"].tolist()
    return values


# -- what is read ------------------------------------------------------------------------------------------------------

WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@both
@pytest.mark.parametrize("kind", [*WHOLE, pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_numbers_of_any_width_with_nulls_and_without(codec: Codec, write: Any, kind: Any) -> None:
    values = np.array([1, 2], np.float16) if kind == pa.float16() else [1, 2]
    assert column(codec, write, pa.array(values, kind), ColumnType.FLOAT) == [1.0, 2.0]
    sparse = pa.concat_arrays([pa.array(values, kind), pa.nulls(1, kind)])
    assert column(codec, write, sparse, ColumnType.INTEGER, nullable=True) == [1.0, 2.0, None]


@both
@pytest.mark.parametrize("kind", [pa.decimal128(5, 0), pa.decimal128(9, 2), pa.decimal256(30, 0)], ids=str)
def test_decimals_are_numbers(codec: Codec, write: Any, kind: Any) -> None:
    assert column(codec, write, pa.array([Decimal(1), Decimal(2)], kind), ColumnType.FLOAT) == [1.0, 2.0]


@both
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_texts_of_every_layout(codec: Codec, write: Any, kind: Any) -> None:
    texts = ["é", "a longer text than fits into a view", ""]
    assert column(codec, write, pa.array(texts, kind), ColumnType.STRING) == texts
    sparse = pa.array([*texts, None], kind)
    assert column(codec, write, sparse, ColumnType.STRING, nullable=True) == [*texts, None]


@both
def test_dictionaries_of_texts_and_numbers(codec: Codec, write: Any) -> None:
    texts = pa.array(["b", "a", None, "b"]).dictionary_encode()
    assert column(codec, write, texts, ColumnType.CATEGORY, nullable=True) == ["b", "a", None, "b"]
    numbers = pa.array([2.5, 1.0, None, 2.5]).dictionary_encode()
    assert column(codec, write, numbers, ColumnType.FLOAT, nullable=True) == [2.5, 1.0, None, 2.5]
    nulls = pa.array([None, None], pa.string()).dictionary_encode()
    assert column(codec, write, nulls, ColumnType.CATEGORY, nullable=True) == [None, None]


def test_a_null_in_a_dictionary_is_a_null() -> None:
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None]), pa.array(["a", None]))
    assert column(arrow_codec, stream, encoded, ColumnType.CATEGORY, nullable=True) == ["a", None, "a", None]
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array([1.5, None]))
    assert column(arrow_codec, stream, encoded, ColumnType.FLOAT, nullable=True) == [1.5, None, 1.5]


def test_a_dictionary_may_grow_from_batch_to_batch() -> None:
    sink = pa.BufferOutputStream()
    first, second = (pa.table({"x": pa.array(texts).dictionary_encode()}) for texts in (["a", "b"], ["a", "b", "c"]))
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, first.schema, options=options) as writer:
        writer.write_table(first)
        writer.write_table(second)
    inputs = read(arrow_codec, sink.getvalue().to_pybytes(), Signature((Column("x", ColumnType.CATEGORY),)))
    assert isinstance(inputs, Table)
    assert inputs.columns["x"].tolist() == ["a", "b", "a", "b", "c"]


@both
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_of_every_unit_are_in_utc_and_cut_to_microseconds(codec: Codec, write: Any, unit: str) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moments = [datetime.datetime(2020, 1, 1, 12, tzinfo=zone), datetime.datetime(1901, 1, 1, tzinfo=UTC), None]
    values = column(codec, write, pa.array(moments, pa.timestamp(unit, "+02:00")), ColumnType.DATETIME, nullable=True)
    assert values == [datetime.datetime(2020, 1, 1, 10), datetime.datetime(1901, 1, 1), None]


def test_digits_beyond_microseconds_are_cut_off_before_1970_too() -> None:
    array = pa.array([1_999, -1], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    values = column(arrow_codec, stream, array, ColumnType.DATETIME)
    assert values == [datetime.datetime(1970, 1, 1, 0, 0, 0, 1), datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999)]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_moments_beyond_the_calendar_are_refused(unit: str) -> None:
    array = pa.array([2**63 - 1, -(2**63), 2**62], pa.int64()).cast(pa.timestamp(unit, "UTC"))
    signature = Signature((Column("x", ColumnType.DATETIME),))
    error = refused(arrow_codec, stream(pa.table({"x": array})), signature)
    assert [(fault.code, fault.row) for fault in error.faults] == [("invalid_datetime", row) for row in range(3)]


@both
def test_booleans_and_columns_of_nulls(codec: Codec, write: Any) -> None:
    array = pa.array([True, None, False])
    assert column(codec, write, array, ColumnType.BOOLEAN, nullable=True) == [1.0, None, 0.0]
    assert column(codec, write, pa.nulls(2), ColumnType.FLOAT, nullable=True) == [None, None]


def test_float64_is_not_copied_before_it_is_judged() -> None:
    body = stream(pa.table({"x": [1.0, 2.0]}))
    frame = arrow_codec.parse(body, True, LIMITS, {}).payload
    assert np.shares_memory(frame.columns[0].values, np.frombuffer(body, np.uint8))


@both
@pytest.mark.parametrize(
    ("array", "got"),
    [
        (pa.array([[1.0]]), "nested value"),
        (pa.array([{"a": 1, "b": [2]}]), "nested value"),
        (pa.array([b"x"]), "binary"),
        (pa.array([datetime.datetime(2020, 1, 1)]), "timestamp without a time zone"),
        (pa.array([datetime.date(2020, 1, 1)]), "date32[day]"),
        (pa.array([datetime.time(1)]), "time64[us]"),
    ],
    ids=str,
)
def test_types_no_column_takes_are_named_and_the_others_are_judged(
    codec: Codec, write: Any, array: Any, got: str
) -> None:
    error = refused(
        codec, write(pa.table({"x": array, "y": pa.array([float("nan")])})), Signature((Column("x"), Column("y")))
    )
    assert [(fault.code, fault.got, fault.pointer) for fault in error.faults] == [
        ("wrong_type", got, "/rows/0/x"),
        ("not_finite", None, "/rows/0/y"),
    ]
    refused(codec, write(pa.table({"x": array})))


@both
def test_rows_and_columns_are_counted(codec: Codec, write: Any) -> None:
    assert refused(codec, write(pa.table({"x": pa.array([], pa.float64())}))).instance_code == "no_rows"
    error = refused(codec, write(pa.table({"x": np.zeros(51)})))
    assert (error.instance_code, error.faults[0].got) == ("too_many_rows", 51)
    wide = pa.table({f"c{index}": [1.0] for index in range(30)})
    assert (
        refused(codec, write(wide), limits=BodyLimits(max_columns=29)).instance_code == "too_many_columns"
        or codec is parquet_codec
    )
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 1)),))
    assert "tensors" in refused(codec, write(pa.table({"x": [1.0]})), signature).detail


@both
def test_a_body_without_anything_is_empty(codec: Codec, write: Any) -> None:
    assert refused(codec, b"").instance_code == "body_empty"


def test_a_file_of_arrow_is_told_from_a_stream() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"x": [1.0]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert "new_stream" in refused(arrow_codec, sink.getvalue().to_pybytes()).detail


def test_names_that_stand_twice() -> None:
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    for codec, write in WRITERS:
        assert refused(codec, write(table)).instance_code == "column_repeated"


# -- bodies that say more than they are --------------------------------------------------------------------------------


def grown_mib(codec: Codec, body: bytes) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(codec, body, Signature((Column("x", ColumnType.STRING),)))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


BOMB = pa.table({"x": ["a" * 60_000_000]})


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_stream_is_not_decompressed_beyond_the_bound(compression: str) -> None:
    body = stream(BOMB, compression=compression)
    assert len(body) < 400_000
    assert grown_mib(arrow_codec, body) < 20
    assert isinstance(refused(arrow_codec, body), BodyTooLarge)


def test_a_stream_that_lies_about_what_it_decompresses_to() -> None:
    body = stream(pa.table({"x": np.zeros(10)}), compression="zstd")
    size = struct.pack("<q", 80)
    assert body.count(size) >= 1
    for said in (2**40, 2**62, -2, 79, 81):
        refused(arrow_codec, body.replace(size, struct.pack("<q", said)))


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"compression": "gzip", "use_dictionary": False}])
def test_a_file_is_not_decompressed_beyond_the_bound(options: Any) -> None:
    body = parquet(BOMB, **options)
    assert grown_mib(parquet_codec, body) < 20
    assert isinstance(refused(parquet_codec, body), BodyTooLarge)


@pytest.mark.parametrize("codec", [arrow_codec, parquet_codec])
def test_a_long_text_in_a_dictionary_is_kept_once(codec: Codec) -> None:
    table = pa.table({"x": pa.array(["a" * 100_000] * 50).dictionary_encode()})
    body = stream(table) if codec is arrow_codec else parquet(table, store_schema=False)
    signature = Signature((Column("x", ColumnType.CATEGORY),))
    inputs = read(codec, body, signature)
    assert isinstance(inputs, Table)
    assert len({id(text) for text in inputs.columns["x"].tolist()}) == 1


def test_views_of_one_long_text_are_counted_each() -> None:
    array = pa.array(["a" * 150_000, "b"], pa.string_view())
    _, views, *texts = array.buffers()
    one = views.to_pybytes()[:16]
    many = pa.Array.from_buffers(pa.string_view(), 50, [None, pa.py_buffer(one * 50), *texts])
    assert isinstance(refused(arrow_codec, stream(pa.table({"x": many}))), BodyTooLarge)


def test_texts_that_repeat_each_other_are_not_read() -> None:
    table = pa.table({"x": ["a" * 1000 + str(index) for index in range(50)]})
    body = parquet(table, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    assert "encoded in a way" in refused(parquet_codec, body).detail


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY"])
def test_other_encodings_are(encoding: str) -> None:
    body = parquet(pa.table({"x": ["a", "b"]}), use_dictionary=False, column_encoding={"x": encoding})
    assert isinstance(read(parquet_codec, body, Signature((Column("x", ColumnType.STRING),))), Table)


def test_columns_that_share_their_bytes_are_counted_each() -> None:
    # 10,000 columns of 40 rows would be 3.2 MB of float64; the body holds two bytes of each
    table = pa.table({f"c{index}": pa.array([0] * 40, pa.int8()) for index in range(5_000)})
    assert isinstance(refused(parquet_codec, parquet(table), limits=BodyLimits(max_body_bytes=100_000)), RequestError)
    assert isinstance(refused(arrow_codec, stream(table), limits=BodyLimits(max_body_bytes=100_000)), BodyTooLarge)


def test_a_million_columns() -> None:
    schema = pa.schema([pa.field(str(index), pa.float64()) for index in range(20_000)])
    table = schema.empty_table()
    row = pa.Table.from_arrays([pa.array([1.0])] * 20_000, schema=schema)
    assert refused(arrow_codec, stream(table)).instance_code == "no_rows"
    assert refused(arrow_codec, stream(row)).instance_code == "too_many_columns"
    assert refused(parquet_codec, parquet(row)).instance_code == "malformed_parquet"


def test_a_footer_beyond_the_bound_is_not_parsed() -> None:
    body = b"PAR1" + bytes(MAX_FOOTER_BYTES + 1) + struct.pack("<I", MAX_FOOTER_BYTES + 1) + b"PAR1"
    assert "footer is larger" in refused(parquet_codec, body).detail


def test_more_batches_than_are_read() -> None:
    sink = pa.BufferOutputStream()
    empty = pa.record_batch({"x": pa.array([], pa.float64())})
    with pa.ipc.new_stream(sink, empty.schema) as writer:
        for _ in range(MAX_MESSAGES + 1):
            writer.write_batch(empty)
    assert "batches" in refused(arrow_codec, sink.getvalue().to_pybytes()).detail


def test_a_schema_of_deep_nesting() -> None:
    kind = pa.float64()
    for _ in range(60):
        kind = pa.list_(kind)
    table = pa.table({"x": pa.array([None], kind)})
    assert refused(arrow_codec, stream(table)).instance_code in ("null_not_allowed", "malformed_arrow", "wrong_type")
    assert refused(parquet_codec, parquet(table)).instance_code in (
        "null_not_allowed",
        "malformed_parquet",
        "wrong_type",
    )


# -- any bytes ---------------------------------------------------------------------------------------------------------

MIXED = Signature(
    (
        Column("a", nullable=True),
        Column("s", ColumnType.STRING, nullable=True),
        Column("d", ColumnType.CATEGORY, nullable=True),
        Column("n", ColumnType.INTEGER),
        Column("t", ColumnType.DATETIME),
    )
)


def _table() -> Any:
    moments = pa.array([datetime.datetime(2020, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("ms", "UTC"))
    encoded = pa.array(["x", "y", None]).dictionary_encode()
    texts, whole = pa.array(["x", None, "é"]), pa.array([1, 2, 3], pa.uint8())
    return pa.table({"a": [1.0, 2.0, None], "s": texts, "d": encoded, "n": whole, "t": moments})


TABLE = _table()
SEEDS: list[tuple[Codec, bytes]] = [
    (arrow_codec, stream(TABLE)),
    (arrow_codec, stream(TABLE, 1, compression="zstd")),
    (arrow_codec, stream(TABLE.append_column("l", pa.array([[1], [2], [3]])))),
    (parquet_codec, parquet(TABLE)),
    (parquet_codec, parquet(TABLE, use_dictionary=False, compression="zstd", data_page_version="2.0")),
    (parquet_codec, parquet(TABLE.append_column("l", pa.array([[1], [2], [3]])), store_schema=False, row_group_size=1)),
]
PIECES = [b"\xff" * 4, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x00" * 4, b"\x00" * 8, b"\x80\x80\x80\x80\x08", b"\x01"]


@pytest.mark.parametrize(("codec", "body"), SEEDS, ids=range(len(SEEDS)))
def test_a_body_that_is_cut_short_is_refused(codec: Codec, body: bytes) -> None:
    for end in range(1, len(body) - 9, 7):
        try:
            inputs = read(codec, body[:end], MIXED)
        except (MalformedRequest, InvalidInput) as error:
            assert error.faults
        else:  # a stream may end after any batch
            assert codec is arrow_codec
            assert inputs.count < 3


@st.composite
def bent(draw: st.DrawFn) -> tuple[Codec, bytes]:
    codec, body = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        piece = draw(st.binary(min_size=1, max_size=2) | st.sampled_from(PIECES))
        length = draw(st.sampled_from([len(piece), len(piece), len(piece), 0, 3]))
        body = body[:at] + piece + body[at + length :]
    return codec, body


def read_or_refused(bent_body: tuple[Codec, bytes]) -> None:
    codec, body = bent_body
    try:
        assert read(codec, body, MIXED).count <= LIMITS.max_rows
    except (MalformedRequest, InvalidInput, BodyTooLarge) as error:
        assert error.detail
        assert len(error.detail) < 1000


@pytest.mark.parametrize(
    "examples", [600, pytest.param(50_000, marks=[pytest.mark.torture, pytest.mark.timeout(3600)])]
)
def test_any_bent_body_is_read_or_refused(examples: int, report: Report) -> None:
    tried = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bent())
    def each(body: tuple[Codec, bytes]) -> None:
        nonlocal tried
        tried += 1
        read_or_refused(body)

    each()
    report("Damaged Arrow and Parquet is read or refused, never a failure", bar="0 failures", bodies=tried)


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "kind"), [(arrow_codec, ARROW), (parquet_codec, PARQUET)])
def test_an_answer_has_a_column_for_each_thing_it_says(codec: Codec, kind: str) -> None:
    columns = {
        "prediction": [1, 2],
        "confidence": (0.5, 0.25),
        "class_name": ["a", "b"],
        "mixed": [1, "x"],
        "l": [[1], [2]],
    }
    assert codec.write is not None
    rows = rows_of(codec.write(Answers(lambda: columns, lambda: None)), kind)
    assert rows == [
        {"prediction": 1, "confidence": 0.5, "class_name": "a", "mixed": "1", "l": [1]},
        {"prediction": 2, "confidence": 0.25, "class_name": "b", "mixed": "x", "l": [2]},
    ]
