"""What ``foretell predict`` reads from a file, and how it shows answers."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from foretell.cli.predicting.answers import CsvOutput, JsonOutput, TableOutput
from foretell.cli.predicting.rows import Slice, read
from foretell.errors import OperatorError, PathMissing


def slices(tmp_path: Path, name: str, text: str, size: int = 100, **options: Any) -> list[Slice]:
    (tmp_path / name).write_bytes(text.encode())
    return list(read(str(tmp_path / name), size, **options))


def test_csv_travels_as_csv_with_its_header_in_every_slice(tmp_path: Path) -> None:
    first, second = slices(tmp_path, "rows.csv", '\ufeffa,"b ""c"""\n1,x\n2,"y,z"\n\n3,\n', size=2)
    assert first.media_type == "text/csv; header=present"
    assert first.body() == b'a,"b ""c"""\r\n1,x\r\n2,"y,z"\r\n'
    assert (second.start, second.body()) == (2, b'a,"b ""c"""\r\n3,\r\n')


def test_csv_without_a_header_says_so(tmp_path: Path) -> None:
    (only,) = slices(tmp_path, "rows.csv", "1,2\n3,4\n", header=False)
    assert only.media_type == "text/csv; header=absent"
    assert only.body() == b"1,2\r\n3,4\r\n"


def test_a_dropped_column_is_left_out(tmp_path: Path) -> None:
    (table,) = slices(tmp_path, "rows.csv", "a,target,b\n1,x,2\n", drop=["target"])
    assert table.body() == b"a,b\r\n1,2\r\n"
    (objects,) = slices(tmp_path, "rows.json", '[{"a": 1, "target": "x"}]', drop=["target"])
    assert json.loads(objects.body()) == {"features": [{"a": 1}]}


def test_a_column_to_drop_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no column target to drop") as caught:
        slices(tmp_path, "rows.csv", "a,b\n1,2\n", drop=["target"])
    assert caught.value.hint == "the columns are: a, b"


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("rows.json", "[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("rows.json", '{"features": [[1, 2]]}', [[1, 2]]),
        ("rows.json", '{"instances": [{"a": 1}]}', [{"a": 1}]),
        ("rows.json", '{"features": [1, 2]}', [[1, 2]]),
        ("rows.json", '{"features": {"a": 1}}', [{"a": 1}]),
        ("rows.json", '{"a": 1, "b": null}', [{"a": 1, "b": None}]),
        ("rows.jsonl", '{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("rows.NDJSON", "[1]\n[2]\n", [[1], [2]]),
    ],
)
def test_json_comes_in_each_form_people_have(tmp_path: Path, name: str, text: str, rows: list[Any]) -> None:
    (only,) = slices(tmp_path, name, text)
    assert only.media_type == "application/json"
    assert json.loads(only.body()) == {"features": rows}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("rows.json", "[1,", "cannot be read: Expecting value"),
        ("rows.json", "3", "JSON must be a list of rows"),
        ("rows.csv", 'a\n"open', "cannot be read: unexpected end of data"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, reason: str) -> None:
    with pytest.raises(OperatorError, match=reason):
        slices(tmp_path, name, text)


def test_text_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a\n\xff\n")
    with pytest.raises(OperatorError, match="utf-8"):
        list(read(str(tmp_path / "rows.csv"), 10))


def test_a_file_that_is_not_there_or_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match="does not exist"):
        list(read(str(tmp_path / "no.csv"), 10))
    with pytest.raises(OperatorError, match="Is a directory"):
        list(read(str(tmp_path), 10))


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        (' [{"a": 1}]', "application/json"),
        ('\ufeff{"a": 1}', "application/json"),
        ("a\n1\n", "text/csv; header=present"),
    ],
)
def test_standard_input_is_known_by_how_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, media_type: str
) -> None:
    (tmp_path / "stdin").write_bytes(text.encode())
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        (only,) = read("-", 10)
    assert only.media_type == media_type


def test_a_slice_halves_without_losing_its_place() -> None:
    early, late = Slice(10, [["1"], ["2"], ["3"]], ["a"]).halves()
    assert (early.start, early.rows, late.start, late.rows) == (10, [["1"]], 11, [["2"], ["3"]])


ANSWER = b"prediction,confidence\r\n0,0.123456\r\n1,0.00001234\r\n"


def test_csv_answers_stand_behind_their_rows() -> None:
    stream = io.StringIO()
    output = CsvOutput(stream)
    output.write(Slice(0, [["1", "x"], ["2", "y"]], ["a", "b"]), ANSWER)
    output.write(Slice(2, [["3", "z"], ["4", ""]], ["a", "b"]), ANSWER)
    output.close()
    assert stream.getvalue() == (
        "a,b,prediction,confidence\n1,x,0,0.123456\n2,y,1,0.00001234\n3,z,0,0.123456\n4,,1,0.00001234\n"
    )


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        (Slice(0, [["1", "x"], ["2", "y"]]), "column_1,column_2,prediction,confidence"),
        (Slice(0, [{"a": 1}, {"b": None}], csv=False), "a,b,prediction,confidence"),
        (Slice(0, [[1], [2]], csv=False), "prediction,confidence"),
    ],
)
def test_columns_are_called_as_far_as_rows_tell(rows: Slice, first: str) -> None:
    stream = io.StringIO()
    CsvOutput(stream).write(rows, ANSWER)
    assert stream.getvalue().splitlines()[0] == first


def test_json_answers_are_one_list_of_objects() -> None:
    stream = io.StringIO()
    output = JsonOutput(stream)
    answer = {"predictions": [0, 1], "class_names": ["no", "ja"], "confidences": [0.9, 0.8], "model": "m"}
    for start in (0, 2):
        output.write(Slice(start, [["1"], ["2"]], ["a"]), json.dumps(answer).encode())
    output.close()
    shown = json.loads(stream.getvalue())
    assert len(shown) == 4
    assert shown[3] == {"prediction": 1, "class_name": "ja", "confidence": 0.8}


def test_json_answers_to_nothing_are_an_empty_list() -> None:
    stream = io.StringIO()
    JsonOutput(stream).close()
    assert json.loads(stream.getvalue()) == []


def table(parts: Sequence[tuple[Slice, bytes]]) -> str:
    stream = io.StringIO()
    output = TableOutput(Console(file=stream, width=200))
    for rows, answer in parts:
        output.write(rows, answer)
    output.close()
    return stream.getvalue()


def test_a_table_shortens_fractions_and_takes_no_orders_from_cells() -> None:
    shown = table([(Slice(0, [["[red]1", "x"], ["2.123456789", "y"]], ["a", "[b]"]), ANSWER)])
    assert [line.split() for line in shown.splitlines()] == [
        ["a", "[b]", "prediction", "confidence"],
        ["[red]1", "x", "0", "0.1235"],
        ["2.123456789", "y", "1", "1.23e-05"],
    ]


def test_a_table_shows_the_first_rows_and_columns_and_says_what_it_leaves_out() -> None:
    rows = Slice(0, [[str(i)] * 8 for i in range(60)], [f"c{i}" for i in range(8)])
    answer = b"prediction\r\n" + b"7\r\n" * 60
    lines = table([(rows, answer), (rows, answer)]).splitlines()
    assert lines[0].split() == ["c0", "c1", "c2", "c3", "c4", "c5", "…", "prediction"]
    assert lines[1].split() == ["0"] * 6 + ["…", "7"]
    assert len(lines) == 52
    assert lines[-1] == "and 70 more; --output csv has them all"
