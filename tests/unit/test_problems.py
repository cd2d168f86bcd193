"""Errors on the wire: the table is whole, and no answer is longer than 4 KB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell import errors
from foretell.api.problems import MAX_BYTES, STATUSES, InternalError, encode, headers_of, status_of
from foretell.errors import Fault, InvalidInput, NotReady, QueueFull, RequestError


def tree(cls: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_every_request_error_has_a_status_of_its_own() -> None:
    assert set(tree()) == set(STATUSES)


@pytest.mark.parametrize("cls", list(STATUSES), ids=lambda cls: cls.__name__)
def test_every_error_becomes_a_whole_problem(cls: type[RequestError]) -> None:
    document = orjson.loads(encode(cls("It went wrong."), "id-1", show_values=True))
    assert document == {
        "type": "https://foretell.dev/errors/" + cls.code.replace("_", "-"),
        "title": cls.title,
        "status": STATUSES[cls],
        "detail": "It went wrong.",
        "code": cls.code,
        "request_id": "id-1",
    }


def test_a_class_that_a_plugin_adds_takes_the_status_of_the_one_above_it() -> None:
    class TooTired(QueueFull):
        code = "too_tired"

    assert status_of(TooTired("later")) == 503
    assert status_of(InternalError()) == 500


def test_what_is_not_available_now_says_when_to_come_back() -> None:
    assert headers_of(NotReady("later", retry_after_s=0))["retry-after"] == "1"
    assert headers_of(QueueFull("later", retry_after_s=9))["retry-after"] == "9"
    assert "retry-after" not in headers_of(InvalidInput("never"))


def test_a_narrowed_error_shows_its_own_code_and_title() -> None:
    error = InvalidInput("Too old.", code="out_of_bounds", title="Out of bounds", hint="send a younger one")
    document = orjson.loads(encode(error, "id-1", show_values=True))
    assert document["type"].endswith("/out-of-bounds")
    assert (document["code"], document["title"], document["hint"]) == (
        "out_of_bounds",
        "Out of bounds",
        "send a younger one",
    )


def test_a_fault_shows_what_is_known_of_it_and_its_value_only_where_that_is_allowed() -> None:
    fault = Fault("unknown_category", "is none of them", "/features/plan", 3, ["a", "b"], 2, "gould", "gold")
    error = InvalidInput("No.", faults=[fault], faults_total=9)
    shown, hidden = (orjson.loads(encode(error, "id-1", show_values=show)) for show in (True, False))
    assert shown["errors_total"] == hidden["errors_total"] == 9
    assert shown["errors"][0] == {
        "pointer": "/features/plan",
        "message": "is none of them",
        "code": "unknown_category",
        "row": 3,
        "expected": ["a", "b"],
        "got": 2,
        "value": "gould",
        "suggestion": "gold",
    }
    assert "gould" not in str(hidden)


def test_a_fault_of_a_parameter_has_no_pointer() -> None:
    error = InvalidInput("No.", faults=[Fault("wrong_value", "is wrong", parameter="top_k")])
    [entry] = orjson.loads(encode(error, "id-1", show_values=True))["errors"]
    assert entry == {"parameter": "top_k", "message": "is wrong", "code": "wrong_value"}


def test_lists_of_names_are_clipped() -> None:
    fault = Fault("unknown_column", "no such column", expected=[f"column_{i}" for i in range(500)])
    [entry] = orjson.loads(encode(InvalidInput("No.", faults=[fault]), "id-1", show_values=True))["errors"]
    assert entry["expected"][:2] == ["column_0", "column_1"]
    assert entry["expected"][-1] == "… and 488 more"


TEXTS = st.text(st.characters(), max_size=3000) | st.sampled_from(
    ["\x00" * 5000, "\ud800" * 3000, "🧨" * 3000, '"' * 9000]
)
ANYTHING: Any = st.none() | st.integers() | st.floats() | TEXTS | st.lists(TEXTS, max_size=20) | st.booleans()
FAULTS = st.builds(
    Fault,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | st.integers(0, 10**9),
    ANYTHING,
    ANYTHING,
    st.none() | TEXTS,
    st.none() | TEXTS,
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.none() | TEXTS, st.lists(FAULTS, max_size=60), st.booleans())
def test_no_problem_is_longer_than_4_kb_and_each_shows_a_fault(
    detail: str, hint: str | None, faults: list[Fault], show: bool
) -> None:
    body = encode(InvalidInput(detail, faults=faults, hint=hint), "r" * 128, show_values=show)
    document = orjson.loads(body)
    assert len(body) <= MAX_BYTES
    assert document["status"] == 422
    assert len(document.get("errors", [])) >= min(1, len(faults))
    assert document.get("errors_total", 0) == len(faults)
