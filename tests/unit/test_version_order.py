"""How versions sort (contract §1)."""

from __future__ import annotations

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.identity import NAME_GRAMMAR, version_fault, version_key

names = st.from_regex(NAME_GRAMMAR, fullmatch=True).filter(lambda name: name.isascii())


@pytest.mark.parametrize(
    "ordered",
    [
        ["v1", "v2", "v9", "v10", "v11", "v100"],
        ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"],
        ["2025-12-31", "2026-01-01", "2026-11-01", "2026-11-01-2", "2026-11-02"],
        ["v1", "v1.1", "v1.2", "v1.10", "v2"],
        ["20251231", "20260101"],
    ],
    ids=["numbers", "semantic", "dates", "short", "compact-dates"],
)
def test_versions_sort_as_people_read_them(ordered: list[str]) -> None:
    shuffled = ordered.copy()
    random.Random(7).shuffle(shuffled)
    assert sorted(shuffled, key=version_key) == ordered


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_numbered_versions_sort_by_number(left: int, right: int) -> None:
    assert (version_key(f"v{left}") < version_key(f"v{right}")) == (left < right)


@given(*(st.tuples(*[st.integers(0, 10**6)] * 3) for _ in range(2)))
def test_semantic_versions_sort_by_their_parts(left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    texts = [".".join(map(str, parts)) for parts in (left, right)]
    assert (version_key(texts[0]) < version_key(texts[1])) == (left < right)


@given(st.tuples(*[st.integers(0, 999)] * 3), st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[0-9]{1,3})?", fullmatch=True))
def test_a_pre_release_comes_before_its_release_and_after_the_one_before(
    parts: tuple[int, int, int], suffix: str
) -> None:
    major, minor, patch = parts
    release, following = f"{major}.{minor}.{patch}", f"{major}.{minor}.{patch + 1}"
    assert version_key(f"{release}-{suffix}") < version_key(release) < version_key(f"{following}-{suffix}")


@given(*(st.dates(datetime.date(1000, 1, 1)) for _ in range(2)))
def test_dates_sort_by_the_calendar(left: datetime.date, right: datetime.date) -> None:
    assert (version_key(left.isoformat()) < version_key(right.isoformat())) == (left < right)


@given(st.lists(names, unique=True))
def test_any_names_can_be_sorted_and_the_order_does_not_depend_on_where_they_stood(versions: list[str]) -> None:
    other_way = versions[::-1]
    keys = [[version_key(v) for v in sorted(order, key=version_key)] for order in (versions, other_way)]
    assert keys[0] == keys[1]


@given(names)
def test_names_of_the_grammar_are_versions_unless_reserved(name: str) -> None:
    assert (version_fault(name) is None) == (name not in {"latest", "batch", "stream", "versions"})


@pytest.mark.parametrize("name", ["", ".", "..", "-v1", "_v1", "a b", "é", "v1/..", "v\n", "x" * 129, "v1\n", "ｖ1"])
def test_other_names_are_not(name: str) -> None:
    assert version_fault(name)
