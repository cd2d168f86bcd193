"""Query parameters and the time-out header."""

from __future__ import annotations

import pytest

from foretell.api.native.parameters import MAX_TOP_K, allowed_seconds, invalid_options, read_options
from foretell.api.queries import MAX_PARAMETERS, MAX_QUERY_BYTES
from foretell.errors import MalformedRequest


@pytest.mark.parametrize(
    ("query", "top_k", "probabilities"),
    [
        (b"", None, False),
        (b"top_k=3", 3, False),
        (b"probabilities=true&top_k=007", 7, True),
        (b"probabilities=false", None, False),
        (f"top_k={MAX_TOP_K}".encode(), MAX_TOP_K, False),
        (b"top%5Fk=1", 1, False),
    ],
)
def test_options_are_read(query: bytes, top_k: int | None, probabilities: bool) -> None:
    assert read_options(query) == ((top_k, probabilities), [])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"top_k=0", "wrong_value"),
        (f"top_k={MAX_TOP_K + 1}".encode(), "wrong_value"),
        (b"top_k=" + b"9" * 5000, "wrong_value"),
        ("top_k=٣".encode(), "wrong_value"),
        (b"probabilities=yes", "wrong_value"),
        (b"probabilities", "wrong_value"),
        (b"TOP_K=1", "unknown_parameter"),
        (b"x%00=1", "unknown_parameter"),
        (b"top_k=1&" * (MAX_PARAMETERS + 1), "too_many_parameters"),
        (b"top_k=" + b"%" * MAX_QUERY_BYTES, "too_many_parameters"),
    ],
)
def test_anything_else_is_a_fault(query: bytes, code: str) -> None:
    _, faults = read_options(query)
    assert {fault.code for fault in faults} == {code}
    assert invalid_options(faults).faults == tuple(faults)


def test_every_fault_of_a_query_is_found() -> None:
    _, faults = read_options(b"top_k=1&top_k=2&nope=1&probabilities=perhaps")
    assert [fault.code for fault in faults] == [
        "parameter_repeated",
        "parameter_repeated",
        "unknown_parameter",
        "wrong_value",
    ]


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 30.0), ("2.5", 2.5), (" 2 ", 2.0), ("1e-3", 0.001), ("31", 30.0), ("9" * 300, 30.0)]
)
def test_the_shorter_of_both_times_holds(header: str | None, seconds: float) -> None:
    assert allowed_seconds(header, 30.0) == seconds


@pytest.mark.parametrize("header", ["", "-1", "0", "0.0", "1s", "1_0", "inf", "nan", "9" * 400, "0x1", "1 2"])
def test_a_time_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(MalformedRequest):
        allowed_seconds(header, 30.0)
