"""Which codec reads and which format answers, by headers alone."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.base import Codec
from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec as json
from foretell.codecs.negotiate import answer_codec, media_type, request_codec, split
from foretell.errors import NotAcceptable, UnsupportedMediaType

CODECS: tuple[Codec, ...] = (json, csv)


@pytest.mark.parametrize(
    ("content_type", "codec", "parameters"),
    [
        (None, json, {}),
        ("", json, {}),
        ("  ", json, {}),
        ("application/json", json, {}),
        ("Application/JSON; Charset=UTF-8", json, {"charset": "UTF-8"}),
        ('application/json;charset="utf-8"', json, {"charset": "utf-8"}),
        ("application/json; charset=us-ascii", json, {"charset": "us-ascii"}),
        ("application/json;", json, {}),
        ("application/vnd.example.v2+json", json, {}),
        ("text/csv; header=absent; header=present", csv, {"header": "absent"}),
        ('text/csv ; header = "pre\\sent"', csv, {"header": "present"}),
    ],
)
def test_a_content_type_names_a_codec(content_type: str | None, codec: Codec, parameters: dict[str, str]) -> None:
    assert request_codec(content_type, None, CODECS) == (codec, parameters)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "multipart/form-data; boundary=x",
        "image/png",
        "json",
        "/",
        "application/",
        "*/*",
        "a b/c",
    ],
)
def test_another_content_type_is_refused_with_a_list_of_those_read(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        request_codec(content_type, None, CODECS)
    assert "application/json, text/csv" in caught.value.detail
    assert caught.value.hint


def test_a_form_is_refused_with_the_header_to_add() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        request_codec("application/x-www-form-urlencoded", None, CODECS)
    assert "-H 'content-type: application/json'" in str(caught.value.hint)


def test_another_charset_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="iso-8859-1"):
        request_codec("application/json; charset=ISO-8859-1", None, CODECS)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x" * 1000])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        request_codec(None, encoding, CODECS)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_a_body_as_it_is_is_read(encoding: str | None) -> None:
    assert request_codec(None, encoding, CODECS)[0] is json


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("text/csv;q=0.8, */*;q=0.9", "application/json"),
        ("*/*, application/json;q=0", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        ("text/csv;q=0.001", "text/csv"),
        ("text/csv;q=0, text/csv", "text/csv"),
        ("text/csv; header=present; q=1", "text/csv"),
        ('text/csv;x="a,b;c\\"d"', "text/csv"),
        ("garbage", "application/json"),
        ("garbage, text/csv", "text/csv"),
        ("text/csv;q=nan", "application/json"),
        (";;;,,,", "application/json"),
    ],
)
def test_the_answer_is_what_the_caller_likes_most(accept: str | None, answer: str) -> None:
    assert answer_codec(accept, CODECS).media_type == answer


@pytest.mark.parametrize("accept", ["text/html", "image/*", "*/*;q=0", "application/json;q=0", "application/xml, x"])
def test_nothing_acceptable_is_refused_with_a_list_of_what_is_offered(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        answer_codec(accept, CODECS)
    assert "application/json, text/csv" in caught.value.detail


def test_separators_inside_quotes_do_not_separate() -> None:
    assert split('a;"b;\\";c";d', ";") == ["a", '"b;\\";c"', "d"]
    assert split('a;"b;c', ";") == ["a", '"b;c']
    assert split("a," * 500, ",") == split('a,"b"' + ",a" * 500, ",")[:1] * 64
    assert split('"a,"' + ",b" * 500, ",") == ['"a,"'] + ["b"] * 63


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=40) | st.text('ab/;,="\\ q.01*', max_size=40))
def test_any_header_is_read_or_refused(text: str) -> None:
    media_type(text)
    with contextlib.suppress(UnsupportedMediaType):
        request_codec(text, text, CODECS)
    with contextlib.suppress(NotAcceptable):
        assert answer_codec(text, CODECS) in CODECS


@pytest.mark.parametrize(
    "piece",
    ["a/b,", ",", ";", '"', '\\"', "a/b;q=0.5,", "*/*;", "a/b;c=d;", "application/", " ", "\t", '"a', "=", "q=1;"],
)
def test_the_largest_headers_take_no_time(piece: str) -> None:
    text = (piece * 65_536)[:65_536]
    started = time.process_time()
    with contextlib.suppress(UnsupportedMediaType):
        request_codec(text, None, CODECS)
    with contextlib.suppress(NotAcceptable):
        answer_codec(text, CODECS)
    assert time.process_time() - started < 1  # it takes some 20 ms; quadratic would take minutes
