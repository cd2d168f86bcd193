"""The contract of the codec port, run over every codec."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json as stdlib_json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.arrow import arrow_codec as arrow
from foretell.codecs.arrow import parquet_codec as parquet
from foretell.codecs.base import Answers, Codec
from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec as json
from foretell.codecs.json import ndjson_codec as ndjson
from foretell.codecs.npy import codec as npy
from foretell.core.document import Document
from foretell.core.examples import example_csv, example_request, example_row
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Tensors, assemble
from foretell.errors import InvalidInput, MalformedRequest
from tests import columnar_bodies as bodies
from tests.bodies import PLAIN_NAMES, good_values, mutated, odd_bodies, odd_rows, same, signatures

CODECS: tuple[Codec, ...] = (json, csv, ndjson, arrow, parquet, npy)
TEXTUAL = CODECS[:3]
LIMITS = BodyLimits(max_rows=3)
MIXED = Signature(
    columns=(Column("a", ColumnType.INTEGER), Column("b", ColumnType.STRING, nullable=True), Column("c")),
    output=Output("classification", ("x", "y")),
)


def by_media_type(codec: Codec) -> str:
    return codec.media_type


@pytest.mark.parametrize("codec", CODECS, ids=by_media_type)
def test_a_media_type_is_lower_case_and_without_parameters(codec: Codec) -> None:
    assert codec.media_type == codec.media_type.lower().partition(";")[0].strip()


def test_what_a_codec_says_of_itself_is_said_of_every_one() -> None:
    assert [codec.single for codec in CODECS] == [True, True, False, False, False, True], "contract §3, Formats"
    assert all(codec.missing is None for codec in CODECS)
    assert [codec.write is not None for codec in CODECS] == [False, False, True, True, True, True]


def test_a_format_that_is_read_on_threads_names_no_version() -> None:
    """So that what is read there can be held against the path's version at once (``Reader.plainly``)."""
    table, file = pa.table({"model_version": ["v9"], "a": [1]}), io.BytesIO()
    written: dict[Codec, bytes] = {ndjson: b'{"model_version": "v9", "a": 1}\n'}
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    written[arrow] = file.getvalue()
    pq.write_table(table, file := io.BytesIO())
    written[parquet] = file.getvalue()
    np.save(file := io.BytesIO(), np.ones((1, 2)))
    written[npy] = file.getvalue()
    assert set(written) == {codec for codec in CODECS if codec.off_loop_bytes is not None}
    assert all(codec.parse(body, True, LIMITS, {}).model_version is None for codec, body in written.items())


@pytest.mark.parametrize("codec", CODECS[:2], ids=by_media_type)
def test_what_the_doors_write_codecs_do_not(codec: Codec) -> None:
    assert codec.write is None


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("codec", CODECS[:5], ids=by_media_type)
def test_the_example_of_a_model_is_read_and_bound(codec: Codec, many: bool) -> None:
    if not many and not codec.single:
        return
    body = _example(codec, MIXED, many)
    document = codec.parse(body, many, LIMITS, {})
    assert isinstance(document, Document)
    assert document.single is not many
    assert document.model_version is None
    inputs = bind(document, MIXED, LIMITS, "m v1")
    decoders = codec.compile(MIXED, LIMITS)
    if decoders is not None:
        row = None if many else decoders.single(body)
        quick = decoders.batch(body) if many else None if row is None else assemble(MIXED, [row])
        assert quick is not None
        assert same(quick, inputs)


def _example(codec: Codec, signature: Signature, many: bool) -> bytes:
    if codec.media_type == "text/csv":
        return (example_csv(signature, many=many) or "").encode()
    if codec is json:
        return stdlib_json.dumps(example_request(signature, many=many)).encode()
    row = example_row(signature)
    rows = [list(row.values()) if isinstance(row, dict) else row] * 2
    if codec is ndjson:
        return bodies.ndjson(rows)
    return (bodies.stream if codec is arrow else bodies.parquet)(bodies.table_of(signature, rows))


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), signatures(), st.sampled_from(CODECS), st.booleans())
def test_any_bytes_are_read_and_bound_or_refused_with_faults(
    data: st.DataObject, signature: Signature, codec: Codec, many: bool
) -> None:
    cells = st.text('a1,."\r\n\t é-+eEnaif', max_size=30).map(str.encode)
    body = data.draw(st.binary(max_size=30) | cells | odd_bodies(signature, many))
    if codec is ndjson:
        many = True
        body = "\n".join(data.draw(st.lists(odd_rows(signature, 4), max_size=4))).encode()
    try:
        inputs = bind(codec.parse(body, many, LIMITS, {}), signature, LIMITS, "m v1")
        assert 1 <= inputs.count <= (LIMITS.max_rows if many else 1)
    except (MalformedRequest, InvalidInput) as error:
        assert error.faults
        assert error.faults_total >= len(error.faults)


@pytest.mark.parametrize("codec", CODECS, ids=by_media_type)
def test_tensors_are_bound_or_refused(codec: Codec) -> None:
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 2)),))
    assert codec.compile(signature, LIMITS) is None
    for body in (b'{"features": [1, 2]}', b"1,2", b"{}", b"x"):
        try:
            assert bind(codec.parse(body, False, LIMITS, {}), signature, LIMITS, "m v1").count == 1
        except MalformedRequest as error:
            assert error.faults


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.lists(st.sampled_from(PLAIN_NAMES), min_size=1, max_size=4, unique=True))
def test_the_same_rows_have_the_same_values_in_every_format(data: st.DataObject, names: Sequence[str]) -> None:
    columns = [Column(name, data.draw(st.sampled_from(ColumnType)), nullable=True) for name in names]
    signature = Signature(columns=tuple(columns))
    # an empty text is null in CSV and a text in JSON: the one difference there is
    rows = data.draw(st.lists(st.tuples(*map(good_values, columns)), min_size=1, max_size=3))
    rows = [tuple(None if value == "" else value for value in row) for row in rows]
    body = stdlib_json.dumps({"features": rows}).encode()
    left = bind(json.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1")
    for header in ("present", "absent"):
        text = _written(names if header == "present" else None, rows)
        right = bind(csv.parse(text.encode(), True, LIMITS, {"header": header}), signature, LIMITS, "m v1")
        assert same(left, right)
    table = bodies.table_of(signature, rows)
    shuffled = table.select(data.draw(st.permutations(names)))
    written: list[tuple[Codec, bytes]] = [
        (ndjson, bodies.ndjson(rows)),
        (ndjson, bodies.ndjson(rows, names)),
        (arrow, bodies.stream(shuffled)),
        (arrow, bodies.stream(table, 1, compression=data.draw(st.sampled_from(["zstd", "lz4", None])))),
        (parquet, bodies.parquet(shuffled)),
        (parquet, bodies.parquet(table, use_dictionary=False, data_page_version="2.0", row_group_size=1)),
    ]
    if signature.layout == "matrix":
        values = [[np.nan if value is None else float(value) for value in row] for row in rows]
        written.append((npy, bodies.npy(values, order=data.draw(st.sampled_from("CF")))))
    for codec, body in written:
        assert same(left, bind(codec.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1")), codec.media_type


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), signatures())
def test_lines_read_the_fast_way_are_read_the_same_either_way(data: st.DataObject, signature: Signature) -> None:
    decoders = ndjson.compile(signature, LIMITS)
    if decoders is None:
        return
    odd_in = data.draw(st.sampled_from([0, 0, 4]))
    lines = data.draw(st.lists(odd_rows(signature, odd_in), min_size=1, max_size=3))
    body = data.draw(st.sampled_from(["\n", "\r\n", " \n\n"])).join(line.replace("\n", " ") for line in lines).encode()
    if data.draw(st.booleans()):
        body = data.draw(mutated(body))
    quick = decoders.batch(body)
    if quick is not None:
        assert same(quick, bind(ndjson.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1"))
    assert decoders.single(body) is None


def test_plain_lines_are_read_the_fast_way() -> None:
    signature = Signature((Column("a"), Column("b")))
    decoders = ndjson.compile(signature, LIMITS)
    assert decoders is not None
    for body in (b"[1,2]\n[3,4]\n", b'{"a":1,"b":2}\r\n{"b":4,"a":3}', b'[1, 2]\n{"a": 3, "b": 4}'):
        inputs = decoders.batch(body)
        assert inputs is not None, body
        assert same(inputs, bind(ndjson.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1"))
    for odd in (b"[1,2],[3,4]\n", b"[1\n2]", b"[[1,2]]", b"[1,2]\n\n[3,4]", b'[1,2\n{"a":1}]', b"[1,2]\n" * 4, b""):
        assert decoders.batch(odd) is None, odd


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "body_empty", ""),
        (b" \r\n\t\n", "body_empty", ""),
        (b"[1,2]\n[1,2\n", "malformed_json", ""),
        (b"[1,2] [1,2]", "malformed_json", ""),
        (b"\xef\xbb\xbf[1,2]", "malformed_json", ""),
        (b"[1,2]\n\xff", "not_utf8", ""),
        (b"[1,2]\n" * 4, "too_many_rows", "/rows"),
        (b"[1,2]\n5", "wrong_shape", "/rows/1"),
        (b"1\n2", "wrong_shape", "/rows/0"),
        (b'[1,2]\n{"a":1,"a":2,"b":3}', "duplicate_key", "/rows/1/a"),
        (b'[1,2]\n\n{"a":1,"b":"x"}', "wrong_type", "/rows/1/b"),
        (b"[1,2]\n[1,NaN]", "not_finite", "/rows/1/1"),
        (b'[1,2]\n{"a":1,"c":2}', None, "/rows/1/c"),
        (b"[1,2]\n[1]", "ragged_rows", "/rows/1"),
        (b"[1,2]\n" + b"[" * 40 + b"]" * 40, "nested_too_deep", ""),
        (b'["\\ud800",2]', "malformed_json", "/rows/0/0"),
    ],
)
def test_faults_of_lines_have_their_place(body: bytes, code: str | None, pointer: str) -> None:
    signature = Signature((Column("a"), Column("b")))
    with pytest.raises((MalformedRequest, InvalidInput)) as caught:
        bind(ndjson.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1")
    assert code is None or caught.value.instance_code == code
    assert caught.value.faults[0].pointer == pointer


def test_lines_that_are_broken_are_named() -> None:
    with pytest.raises(MalformedRequest, match="at line 3, column 5"):
        ndjson.parse(b"[1,2]\n\n[1,2", True, LIMITS, {})


def test_lines_may_be_rows_of_tensors() -> None:
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 2)),))
    inputs = bind(ndjson.parse(b'[1,2]\n{"x":[3,4]}', True, LIMITS, {}), signature, LIMITS, "m v1")
    assert isinstance(inputs, Tensors)
    assert inputs.arrays["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def _written(header: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = stdlib_csv.writer(text)
    if header is not None:
        writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()


def test_many_lines_are_read_in_parts_and_are_one_body() -> None:
    signature = Signature((Column("a"), Column("b")))
    limits = BodyLimits(max_rows=100_000)
    decoders = ndjson.compile(signature, limits)
    assert decoders is not None
    rows = [[float(index), -0.5] for index in range(60_000)]
    inputs = decoders.batch(bodies.ndjson(rows))
    assert inputs is not None
    assert same(inputs, bind(ndjson.parse(bodies.ndjson(rows), True, limits, {}), signature, limits, "m v1"))
    assert decoders.batch(bodies.ndjson([*rows, ["x", 1]])) is None


def test_lines_of_a_model_without_a_fast_way_have_none() -> None:
    assert ndjson.compile(Signature(tensors=(Tensor("x", "float32", (-1, 2)),)), LIMITS) is None


def test_rows_are_written_a_line_each() -> None:
    columns: dict[str, Any] = {"prediction": np.array([1, 2]), "class_name": ["a", "é"], "l": ([1], [2.5])}
    body = ndjson.write(Answers(lambda: columns, lambda: None))
    assert bodies.rows_of(body, bodies.NDJSON) == [
        {"prediction": 1, "class_name": "a", "l": [1]},
        {"prediction": 2, "class_name": "é", "l": [2.5]},
    ]
