"""Strict JSON: what is refused, with which words, and that no bytes bring anything but a clear error."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.json import codec
from foretell.core.document import Document, Unreadable
from foretell.core.faults import KEPT
from foretell.core.limits import BodyLimits
from foretell.errors import MalformedRequest

LIMITS = BodyLimits()


def parse(body: bytes | str, many: bool = False, limits: BodyLimits = LIMITS) -> Document:
    return codec.parse(body.encode() if isinstance(body, str) else body, many, limits, {})


def refusal(body: bytes | str, many: bool = False, limits: BodyLimits = LIMITS) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as caught:
        parse(body, many, limits)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("", "body_empty", "empty"),
        (" \r\n\t", "body_empty", "empty"),
        (b'\xef\xbb\xbf{"features": []}', "malformed_json", "byte order mark"),
        (b'{"features": ["\xff"]}', "not_utf8", "byte 15"),
        (b'{"\xed\xa0\x80": 1}', "not_utf8", "byte 2"),
        (b"\xff\xfe{\x00}\x00", "not_utf8", "byte 0"),
        ('{"features": [1, 2', "malformed_json", "line 1, column 19"),
        ('{"features": [1,\n 2,]}', "malformed_json", "line 2, column 4"),
        ('{"features": [1]} x', "malformed_json", "extra data"),
        ('{"features": [1]}\x00', "malformed_json", "extra data"),
        ("{'features': [1]}", "malformed_json", "double quotes"),
        ('{"features": ["a\nb"]}', "malformed_json", "control character"),
        ('{"features": [01]}', "malformed_json", "line 1, column 16"),
        ('{"features": [.5]}', "malformed_json", "expecting value"),
        ('{"features": [+1]}', "malformed_json", "expecting value"),
        ('{"features": ["\\x"]}', "malformed_json", "escape"),
        ('{"features": ["\\ud800"]}', "malformed_json", "surrogate"),
        ('{"\\udfff": 1}', "malformed_json", "surrogate"),
        ('{"features": ' + "[" * 33, "nested_too_deep", "32"),
        ('{"features": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested_too_deep", "32"),
        ('{"a":' * 100_000, "nested_too_deep", "32"),
        ("[1, 2]", "not_an_object", 'send {"features": [...]}'),
        ('"text"', "not_an_object", "string"),
        ("null", "not_an_object", "null"),
        ("12", "not_an_object", "number"),
        ("NaN", "not_an_object", "number"),
        ('{"features": [1], "instances": [[1]]}', "features_and_instances", "both"),
        ('{"instances": [[1]]}', "single_expected", "/predict/batch"),
    ],
)
def test_a_body_that_is_no_strict_json_object_is_refused_in_words(body: bytes | str, code: str, words: str) -> None:
    error = refusal(body)
    assert error.instance_code == code
    assert error.instance_title != MalformedRequest.title
    assert words in error.detail
    assert len(error.detail) < 300
    assert [fault.readable for fault in error.faults] == [False]


def test_every_key_that_stands_twice_is_named_with_its_place() -> None:
    error = refusal(
        '{"features": [{"a": 1, "a": 2, "b/c": 1, "b/c": 1, "b/c": 1}], "x": {"y": {"z": 0, "z": 0}}}', many=True
    )
    assert error.instance_code == "duplicate_key"
    assert {fault.pointer for fault in error.faults} == {"/features/0/a", "/features/0/b~1c", "/x/y/z"}
    assert error.faults_total == 4


def test_keys_twice_beyond_those_kept_are_counted() -> None:
    error = refusal('{"features": [' + ",".join(['{"a": 1, "a": 1}'] * 70) + "]}", many=True)
    assert (len(error.faults), error.faults_total) == (KEPT, 70)


def test_a_key_twice_where_one_is_written_with_escapes_is_found() -> None:
    assert refusal('{"features": [1], "feature\\u0073": [2]}').instance_code == "duplicate_key"


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    text = '{"features": ["' + "[{" * 100 + '\\"[[[[\\\\", "' + "[" * 100 + '"]}'
    assert parse(text).payload == json.loads(text)["features"]


def test_nesting_is_counted_by_depth_and_not_by_number() -> None:
    assert len(parse('{"features": [' + ",".join(["[]", "{}"] * 500) + "]}", many=True).payload) == 1000
    assert parse('{"features": ' + "[" * 31 + "]" * 31 + "}").single
    assert refusal('{"features": ' + "[" * 32 + "]" * 32 + "}").instance_code == "nested_too_deep"


def test_a_limit_beyond_what_the_parser_can_go_is_cut_to_what_it_can() -> None:
    deep = BodyLimits(max_depth=10**6)
    assert refusal('{"features": ' + "[" * 100_000, limits=deep).instance_code == "nested_too_deep"
    assert parse('{"features": ' + "[" * 200 + "]" * 200 + "}", limits=deep).single


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NaN", "not_finite"),
        ("Infinity", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "out_of_range"),
        ("-1.5e400", "out_of_range"),
        ("1" * 401, "number_too_long"),
        ("-" + "9" * 100_000, "number_too_long"),
    ],
)
def test_numbers_no_value_can_be_made_of_stay_in_the_document(text: str, code: str) -> None:
    (value,) = parse(f'{{"features": [{text}]}}').payload
    assert isinstance(value, Unreadable)
    assert (value.code, value.text) == (code, text)
    assert len(repr(value)) < 120


@pytest.mark.parametrize(("text", "value"), [("1" * 400, int("1" * 400)), ("-0", 0), ("1e-400", 0.0), ("0.1", 0.1)])
def test_other_numbers_are_what_they_say(text: str, value: float) -> None:
    assert parse(f'{{"features": [{text}]}}').payload == [value]


def test_digit_limits_beyond_the_interpreters_own_do_not_break_it() -> None:
    body = '{"features": [' + "7" * 5000 + ", " + "7" * 4000 + "]}"
    long, short = parse(body, limits=BodyLimits(max_digits=10**6)).payload
    assert isinstance(long, Unreadable)
    assert short == int("7" * 4000)


def test_forms_are_told_apart() -> None:
    assert parse('{"features": [1]}') == Document("json", True, [1], "/features")
    assert parse('{"features": {"a": 1}}') == Document("json", True, {"a": 1}, "/features")
    assert parse('{"a": 1, "model_version": "v2"}') == Document("json", True, {"a": 1}, "", "v2")
    assert parse('{"instances": [[1]], "x": 1}', many=True) == Document(
        "json", False, [[1]], "/instances", beside=("x",)
    )


def test_a_batch_without_rows_to_find_says_what_to_send() -> None:
    assert "neither 'features' nor 'instances'" in refusal('{"rows": [[1]]}', many=True).detail
    assert "empty object" in refusal("{}", many=True).detail


def test_a_model_version_that_is_no_text_is_a_fault_and_not_the_end() -> None:
    document = parse('{"features": [1], "model_version": 2}')
    assert document.model_version is None
    assert [(fault.code, fault.pointer) for fault in document.faults] == [("wrong_type", "/model_version")]


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode), st.booleans())
def test_no_bytes_bring_anything_but_a_document_or_a_malformed_request(body: bytes, many: bool) -> None:
    try:
        assert isinstance(parse(body, many), Document)
    except MalformedRequest as error:
        assert error.faults


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(_values, st.booleans(), st.sampled_from([None, 2]))
def test_whatever_json_can_say_is_read_as_it_was_meant(value: Any, ensure_ascii: bool, indent: int | None) -> None:
    text = json.dumps({"features": value}, ensure_ascii=ensure_ascii, indent=indent)
    assert parse(text).payload == value


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    was = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        parse('{"features": [' + "1," * 200_000 + "1]}")
        refusal('{"features": [' + "1," * 200_000)
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if was else gc.disable()


MEGABYTES = 8 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [' + b"1," * (MEGABYTES // 2),
        b'{"features": [' + b"[]," * (MEGABYTES // 3) + b"[]]}",
        b'{"features": "' + b'\\"' * (MEGABYTES // 2),
        b'{"features": "' + b"\\ud800" * (MEGABYTES // 6) + b'"}',
        b"[" * MEGABYTES,
        b'"[' * (MEGABYTES // 2),
        b'{"features": [' + b"9" * MEGABYTES + b"]}",
        b'{"features": [' + b"0." + b"9" * MEGABYTES + b"]}",
        b'{"features": [1e' + b"9" * MEGABYTES + b"]}",
        b'{"features": ' + b" " * MEGABYTES + b"[1]}",
    ],
    ids=["ones", "lists", "escapes", "surrogates", "deep", "quotes", "digits", "fraction", "exponent", "spaces"],
)
def test_the_largest_body_takes_about_a_second_whatever_is_in_it(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(MalformedRequest):
        parse(body, many=True)
    assert time.process_time() - started < 5  # generous: the machine may be busy; quadratic would take hours
