"""Rows in, rows out, in each format and across them; a bad row is a fault of its own and of no other."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from foretell.bootstrap import STREAMS
from foretell.codecs.stream.base import Answered, Chunk, OnError, StreamFormat, StreamLimits, Summary
from foretell.codecs.stream.columns import refuse_taken
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Inputs, Matrix, Outputs, Table
from foretell.errors import InvalidInput, MalformedRequest, RequestError, UnsupportedMediaType

NDJSON, CSV = STREAMS[0], STREAMS[1]
SHOP = Signature(
    (Column("x", minimum=-10), Column("y", nullable=True)),
    output=Output("classification", (0, 1, 2), ("book", "=game", "tea, green"), True),
)
PRICE = Signature((Column("x"), Column("plan", ColumnType.CATEGORY, nullable=True)), output=Output("regression"))
LIMITS = StreamLimits(BodyLimits(), row_bytes=200, chunk_rows=4)


def outputs_of(signature: Signature, inputs: Inputs) -> Outputs:
    if isinstance(inputs, Table):
        return Outputs(signature.output, values=inputs.columns["x"] * 2)
    assert isinstance(inputs, Matrix)
    if signature.output.kind == "regression":
        columns = [inputs.values[:, 0], inputs.values[:, 0] + 1]
        return Outputs(signature.output, values=np.stack(columns, axis=1) if signature.output.several else columns[0])
    indices = np.abs(inputs.values[:, 0]).astype(np.intp) % 3
    return Outputs(signature.output, indices=indices, probabilities=np.full((inputs.count, 3), 0.25))


def streamed(
    body: bytes,
    source: StreamFormat,
    target: StreamFormat,
    signature: Signature = SHOP,
    *,
    on_error: OnError = "null",
    summary: bool = False,
    parameters: Mapping[str, str] | None = None,
    limits: StreamLimits = LIMITS,
) -> str:
    reader = source.reader(signature, "shop v1", limits, parameters or {})
    writer = target.writer(signature.output, on_error, summary=summary)
    out, total = b"", Summary()

    def pump(flush: bool) -> None:
        nonlocal out
        while (raw := reader.take(flush=flush)) is not None:
            chunk: Chunk = reader.read(raw) or reader.explain(raw)
            outputs = None if chunk.inputs is None else outputs_of(signature, chunk.inputs)
            total.rows += chunk.count
            total.faulty += len(chunk.faults)
            assert reader.layout is not None
            out += writer.write(Answered(chunk, outputs, chunk.faults), reader.layout)

    for start in range(0, len(body), 7):
        reader.feed(body[start : start + 7])
        pump(False)
    reader.end()
    pump(True)
    total.complete = True
    return (out + writer.end(total, reader.layout)).decode()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def records(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_json_lines_come_back_with_their_own_keys_and_the_answers() -> None:
    body = b'{"x": 1, "y": 0.5, "id": "a"}\n[2, null]\n\n{"features": {"x": 3}, "id": 7}\r\n{"id":[1],"x":-4}'
    assert streamed(body, NDJSON, NDJSON).splitlines() == [
        '{"x": 1, "y": 0.5, "id": "a","prediction":1,"class_name":"=game","confidence":0.25}',
        '{"features":[2, null],"prediction":2,"class_name":"tea, green","confidence":0.25}',
        '{"features": {"x": 3}, "id": 7,"prediction":0,"class_name":"book","confidence":0.25}',
        '{"id":[1],"x":-4,"prediction":1,"class_name":"=game","confidence":0.25}',
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"x": "1"}', "wrong_type: x must be a number"),
        ('{"y": 1}', "missing_column: the column 'x' is missing"),
        ('{"x": 1, "yy": 1}', "did you mean 'y'?"),
        ('{"x": 1, "x": 2}', "duplicate_key"),
        ('{"x": -11}', "out_of_bounds: x must be at least -10, got -11"),
        ('{"x": 1, "error": 1}', "column_taken"),
        ('{"features": [1, 2], "error": 1}', "column_taken"),
        ('{"x": 1, "model_version": "v2"}', "a row cannot choose its version"),
        ("[1]", "wrong_feature_count"),
        ("[[1, 2]]", "single_expected"),
        ("[1,2],[3,4]", "malformed_json"),
        ("[1", "malformed_json"),
        ('{"x": NaN}', "not_finite"),
        ("1", "not_an_object"),
        ("{}", "features_missing"),
        ('{"x": 1, "pad": "' + "y" * 300 + '"}', "row_too_long"),
    ],
)
def test_a_bad_json_line_is_a_row_with_an_error_and_its_neighbours_are_answered(line: str, error: str) -> None:
    body = "\n".join(['{"x":1}', line, '{"x":2}', "[3,1]"]).encode()
    one, bad, two, three = objects(streamed(body, NDJSON, NDJSON))
    assert (one["prediction"], two["prediction"], three["prediction"]) == (1, 2, 0)
    assert error in bad["error"]
    assert bad["prediction"] is None
    assert len(objects(streamed(body, NDJSON, NDJSON, on_error="skip"))) == 3


def test_lines_that_only_together_are_json_are_no_rows() -> None:
    rows = objects(streamed(b'[1,\n2]\n[3,4],[5,6]\n{"x":1,"y":"a\nb"}\n', NDJSON, NDJSON))
    assert all("malformed_json" in row["error"] for row in rows)
    assert len(rows) == 5


def test_values_may_be_kept_out_of_errors() -> None:
    limits = StreamLimits(BodyLimits(), show_values=False)
    [row] = objects(streamed(b'{"x":"secret"}', NDJSON, NDJSON, limits=limits))
    assert "secret" not in row["error"]


def test_json_lines_end_with_a_summary_where_it_is_wanted() -> None:
    last = objects(streamed(b"[1,2]\n[1]\n", NDJSON, NDJSON, summary=True))[-1]
    assert last == {"summary": {"rows": 2, "faulty": 1, "complete": True}}
    assert Summary(1, 0, reason="draining").to_document()["reason"] == "draining"


def test_csv_records_come_back_byte_for_byte_with_fields_after_them() -> None:
    body = 'who,"y",x\r\n"Doe, ""J""",0.50,1\r\né,,2\r\n"two\nlines", 1 ,3\r\n'.encode()
    assert streamed(body, CSV, CSV) == (
        "who,y,x,prediction,class_name,confidence,error\n"
        '"Doe, ""J""",0.50,1,1,\'=game,0.25,\n'
        'é,,2,2,"tea, green",0.25,\n'
        '"two\nlines", 1 ,3,0,book,0.25,\n'
    )


@pytest.mark.parametrize(
    ("line", "own", "error"),
    [
        (b"7,z,1", ["7", "z", "1"], "wrong_type: x must be a number"),
        (b"7,,1", ["7", "", "1"], "null_not_allowed"),
        (b"7,1", ["7,1", "", ""], "ragged_rows"),
        (b"7,1,2,3", ["7,1,2,3", "", ""], "ragged_rows"),
        (b'7,1"2,3', ['7,1"2,3', "", ""], "malformed_csv"),
        (b"7,\xff,3", ["7,\ufffd,3", "", ""], "not_utf8"),
        (b"7," + b"1" * 300 + b",3", ["", "", ""], "row_too_long"),
    ],
)
def test_a_bad_record_keeps_its_place_and_the_columns_stay_in_line(line: bytes, own: list[str], error: str) -> None:
    body = b"id,x,y\n1,1,1\n" + line + b"\n3,2,1\n"
    header, one, bad, two = records(streamed(body, CSV, CSV))
    assert len(header) == len(one) == len(bad) == len(two) == 7
    assert (one[3], two[3]) == ("1", "2")
    assert bad[:3] == own
    assert bad[3:6] == ["", "", ""]
    assert bad[6].startswith(error)
    assert len(records(streamed(body, CSV, CSV, on_error="skip"))) == 3


def test_csv_needs_no_header_where_columns_come_in_order() -> None:
    [header, row] = records(streamed(b"4,1\n", CSV, CSV, parameters={"header": "absent"}))
    assert header[:2] == ["x", "y"]
    assert row[:3] == ["4", "1", "1"]
    assert records(streamed(b"4,1\n5,1\n", CSV, CSV))[2][:3] == ["5", "1", "2"]
    assert records(streamed(b"4,1\n", CSV, CSV))[1][:3] == ["4", "1", "1"]


@pytest.mark.parametrize(
    ("body", "parameters", "wanted"),
    [
        (b"y\n1\n2\n", {}, "missing"),
        (b"x,yy\n1,1\n", {}, "Did you mean 'y'"),
        (b"x,x,y\n1,1,1\n", {}, "more than once"),
        (b"x,y,error\n1,1,1\n", {}, "rename it"),
        (b"1,2,3\n1,2,3\n", {}, "takes 2 features by position, got 3"),
        (b'"x\n', {"header": "present"}, "never closed"),
        (b"x,y\n", {"header": "maybe"}, "must be 'present' or 'absent'"),
    ],
)
def test_a_header_that_cannot_be_meant_refuses_the_stream(
    body: bytes, parameters: Mapping[str, str], wanted: str
) -> None:
    with pytest.raises((MalformedRequest, InvalidInput)) as caught:
        streamed(body, CSV, CSV, parameters=parameters)
    assert wanted in str(caught.value)


@pytest.mark.parametrize("target", STREAMS, ids=lambda target: target.media_type)
def test_no_rows_are_no_fault(target: StreamFormat) -> None:
    assert streamed(b"", NDJSON, target) == ""
    assert records(streamed(b"x,y\n", CSV, CSV)) == [["x", "y", "prediction", "class_name", "confidence", "error"]]


def test_csv_becomes_json_lines_with_the_types_of_the_signature() -> None:
    body = b"who,x,plan\n7,1,gold\n,2,\n8,z,gold\n9,1\n"
    wrong = 'wrong_type: x must be a number, got string, got "z"'
    ragged = "ragged_rows: expected 3 fields, as many as the header has, got 2"
    assert objects(streamed(body, CSV, NDJSON, PRICE)) == [
        {"who": "7", "x": 1.0, "plan": "gold", "prediction": 2.0},
        {"who": "", "x": 2.0, "plan": None, "prediction": 4.0},
        {"who": "8", "x": "z", "plan": "gold", "prediction": None, "error": wrong},
        {"who": "9,1", "x": None, "plan": None, "prediction": None, "error": ragged},
    ]


def test_json_lines_become_csv_by_the_keys_of_the_first_chunk() -> None:
    body = b'{"x":1,"id":[1,"a"]}\n{"features":[2,"gold"],"ok":true}\n[3,null]\n{"x":4}\n{"x":5,"late":1}\nnope\n"a"\n'
    assert records(streamed(body, NDJSON, CSV, PRICE)) == [
        ["x", "id", "ok", "plan", "prediction", "error"],
        ["1", '[1,"a"]', "", "", "2.0", ""],
        ["2", "", "true", "gold", "4.0", ""],
        ["3", "", "", "", "6.0", ""],
        ["4", "", "", "", "8.0", ""],
        ["5", "", "", "", "10.0", ""],
        ["", "", "", "", "", "malformed_json: line 1, column 1: expecting value"],
        ["", "", "", "", "", "not_an_object: expected an object, got string"],
    ]


def test_several_outputs_are_several_fields_in_csv_and_a_list_in_json() -> None:
    signature = Signature((Column("x"),), output=Output("regression", names=("a", "b")))
    assert records(streamed(b"x\n1\n", CSV, CSV, signature)) == [
        ["x", "prediction_a", "prediction_b", "error"],
        ["1", "1.0", "2.0", ""],
    ]
    assert objects(streamed(b"[1]", NDJSON, NDJSON, signature)) == [{"features": [1], "prediction": [1.0, 2.0]}]
    bad = records(streamed(b"x\nz\n", CSV, CSV, signature))[1]
    assert bad[:3] == ["z", "", ""]


def test_what_cannot_be_streamed_says_so() -> None:
    tensors = Signature(tensors=(Tensor("image", "float32", (-1, 2)),), output=Output("regression"))
    with pytest.raises(UnsupportedMediaType, match="tensors"):
        CSV.reader(tensors, "m v1", LIMITS, {})
    with pytest.raises(RequestError, match="'error'"):
        refuse_taken(Signature((Column("error"),)), "m v1")
    refuse_taken(SHOP, "m v1")


def test_a_model_of_tensors_streams_json_lines() -> None:
    signature = Signature(tensors=(Tensor("t", "float64", (-1, 2)),), output=Output("regression"))
    reader = NDJSON.reader(signature, "m v1", LIMITS, {})
    reader.feed(b'[1,2]\n[1]\n{"features":{"t":[3,4]}}\n')
    raw = reader.take(flush=True)
    assert raw is not None
    assert reader.read(raw) is None
    chunk = reader.explain(raw)
    assert chunk.inputs is not None
    assert chunk.inputs.count == 2
    assert list(chunk.faults) == [1]
