"""CSV as RFC 4180 has it: what is read, what is refused, and that no bytes bring anything but a clear error."""

from __future__ import annotations

import contextlib
import csv as stdlib_csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.csv import codec
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, Signature
from foretell.errors import MalformedRequest

LIMITS = BodyLimits(max_rows=100)


def records(body: bytes | str, many: bool = True) -> list[list[str]]:
    document = codec.parse(body.encode() if isinstance(body, str) else body, many, LIMITS, {})
    payload: list[list[str]] = document.payload
    return payload


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a,b\n1,2", [["a", "b"], ["1", "2"]]),
        ("a,b\r\n1,2\r\n", [["a", "b"], ["1", "2"]]),
        (b"\xef\xbb\xbfa,b\n1,2", [["a", "b"], ["1", "2"]]),
        ('"a","b"\n', [["a", "b"]]),
        ('"a,b","c\r\nd\n",""\n1,2,3\n', [["a,b", "c\r\nd\n", ""], ["1", "2", "3"]]),
        ('"say ""hi""",""""\n', [['say "hi"', '"']]),
        ("\n\n1,2\n\r\n\n3,4\n\n", [["1", "2"], ["3", "4"]]),
        ('""\n1\n', [[""], ["1"]]),
        (",\n", [["", ""]]),
        ('a,"b"', [["a", "b"]]),
        ('"a",', [["a", ""]]),
        (" a , b ", [[" a ", " b "]]),
        ("é,🙂", [["é", "🙂"]]),
    ],
)
def test_records_are_read(body: bytes | str, expected: list[list[str]]) -> None:
    assert records(body) == expected


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("", "body_empty", "empty"),
        ("\n \r\n", "body_empty", "empty"),
        (b"\xef\xbb\xbf", "body_empty", "empty"),
        (b"1,\xff", "not_utf8", "byte 2"),
        (b"\xff\xfe1\x00", "malformed_csv", "NUL"),
        ("1,\x00", "malformed_csv", "NUL"),
        ('1,2\n1,"2', "malformed_csv", "record 2, field 2: a quote is never closed"),
        ('1,a"b', "malformed_csv", "field 2: a quote or a carriage return stands inside an unquoted field"),
        ('1,"a"b', "malformed_csv", "field 2: text follows a closing quote"),
        ('1,"a" ,2', "malformed_csv", "text follows"),
        ("1,2\r3,4", "malformed_csv", "field 2: a carriage return without a line feed"),
        ("1,2\r", "malformed_csv", "carriage return"),
        ('"a",b\rc', "malformed_csv", "carriage return"),
    ],
)
def test_what_rfc_4180_does_not_have_is_refused_in_words(body: bytes | str, code: str, words: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        records(body)
    assert caught.value.instance_code == code
    assert words in caught.value.detail
    assert caught.value.faults


def test_a_body_is_read_only_as_far_as_it_takes_to_know_that_it_is_too_long() -> None:
    assert len(records("1\n" * 10_000)) == LIMITS.max_rows + 2
    assert len(records("1\n" * 10_000, many=False)) == 3


@pytest.mark.parametrize(("parameter", "header"), [("", "auto"), ("present", "present"), ("Absent", "absent")])
def test_the_content_type_says_whether_there_is_a_header(parameter: str, header: str) -> None:
    parameters = {"header": parameter} if parameter else {}
    assert codec.parse(b"1", True, LIMITS, parameters) == Document("csv", False, [["1"]], header=header)  # type: ignore[arg-type]


def test_another_word_about_the_header_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="present"):
        codec.parse(b"1", True, LIMITS, {"header": "maybe"})


def test_there_is_no_fast_way_for_csv() -> None:
    assert codec.compile(Signature(columns=(Column("x"),)), LIMITS) is None


_fields = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(_fields, min_size=1, max_size=4), min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_what_a_writer_wrote_is_read_as_it_was(rows: list[list[str]], end: str) -> None:
    text = io.StringIO(newline="")
    stdlib_csv.writer(text, lineterminator=end, quoting=stdlib_csv.QUOTE_ALL).writerows(rows)
    assert records(text.getvalue()) == rows


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=30) | st.text('a,"\r\n ', max_size=20).map(str.encode), st.booleans())
def test_no_bytes_bring_anything_but_a_document_or_a_malformed_request(body: bytes, many: bool) -> None:
    try:
        assert codec.parse(body, many, LIMITS, {}).origin == "csv"
    except MalformedRequest as error:
        assert error.faults


MEGABYTES = 8 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"1," * (MEGABYTES // 2),
        b'"1",' * (MEGABYTES // 4),
        b'"' * MEGABYTES,
        b'"' + b'""' * (MEGABYTES // 2),
        b'"' + b"a" * MEGABYTES,
        b"\n" * MEGABYTES + b"1",
        b"\r\n" * (MEGABYTES // 2) + b"1",
        b"\r" * MEGABYTES,
        b'"\n' * (MEGABYTES // 2),
        b'a"' * (MEGABYTES // 2),
    ],
    ids=["fields", "quoted", "quotes", "doubled", "open", "lines", "crlf", "cr", "quoted lines", "bare"],
)
def test_the_largest_body_takes_about_a_second_whatever_is_in_it(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(MalformedRequest):
        codec.parse(body, True, LIMITS, {})
    assert time.process_time() - started < 5  # generous: the machine may be busy; quadratic would take hours
