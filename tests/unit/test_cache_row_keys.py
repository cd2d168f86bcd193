"""A row alone has the key of the inputs it becomes, whichever way it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.caching.keys import Keys
from foretell.caching.row_keys import RowKeys
from foretell.core.identity import Ref
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import assemble

NUMBERS = Signature((Column("x"), Column("n", ColumnType.INTEGER), Column("y", nullable=True)))
MIXED = Signature(
    (
        Column("plan", ColumnType.CATEGORY, nullable=True),
        Column("näme", ColumnType.STRING),
        Column("n", ColumnType.INTEGER),
        Column("gold", ColumnType.BOOLEAN),
        Column("maybe", ColumnType.BOOLEAN, nullable=True),
        Column("x", nullable=True),
        Column("m", ColumnType.INTEGER, nullable=True),
    )
)
DATED = Signature((Column("seen", ColumnType.DATETIME, nullable=True), Column("plan", ColumnType.CATEGORY)))

floats = st.floats(allow_nan=True, allow_infinity=True)
integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=8)
nothing = st.none()


def both(signature: Signature, row: Any) -> tuple[bytes, bytes]:
    keys = Keys("a secret of the tests", Ref("shop", "v1"), "sha256:0", signature)
    return RowKeys(keys, signature).key(row), keys.key(assemble(signature, [row]))


@given(st.tuples(floats | integers, integers, floats | nothing))
@example((0.0, 0, -0.0))
@example((float("inf"), 1, float("-inf")))
@example((True, False, None))
@example((2**53 + 1, 2**63 - 1, 1e308))
def test_numbers(row: Any) -> None:
    one, other = both(NUMBERS, row)
    assert one == other


booleans = st.booleans()


@given(st.tuples(texts | nothing, texts, integers, booleans, booleans | nothing, floats | nothing, integers | nothing))
@example(("", "a", True, True, None, float("nan"), None))
def test_mixed_columns(row: Any) -> None:
    one, other = both(MIXED, row)
    assert one == other


@given(st.tuples(nothing | st.datetimes().map(lambda at: at.replace(tzinfo=UTC)), texts))
def test_dates(row: Any) -> None:
    one, other = both(DATED, row)
    assert one == other


def test_rows_that_differ_have_keys_that_differ() -> None:
    rows: list[tuple[Signature, list[Any]]] = [
        (NUMBERS, [(0.0, 0, 0.0), (-0.0, 0, 0.0), (0.0, 0, None), (0.0, 1, 0.0), (5e-324, 0, 0.0)]),
        (DATED, [(None, "a"), (datetime(2026, 1, 1, tzinfo=UTC), "a"), (None, "b")]),
        (
            MIXED,
            [
                ("a", "bc", 1, True, None, 1.0, 1),
                ("ab", "c", 1, True, None, 1.0, 1),
                (None, "bc", 1, True, None, 1.0, 1),
                ("a", "bc", 1, False, None, 1.0, 1),
                ("a", "bc", 1, True, True, 1.0, 1),
                ("a", "bc", 1, True, None, None, 1),
            ],
        ),
    ]
    found = [both(signature, row)[0] for signature, several in rows for row in several]
    assert len(set(found)) == len(found) == 14


def test_what_no_validated_row_holds_has_no_key() -> None:
    for row in [("a", object(), 1, True, None, 1.0, 1), ("a", "\ud800", 1, True, None, 1.0, 1)]:
        with pytest.raises(TypeError):
            both(MIXED, row)


def test_another_tenant_will_have_another_key() -> None:
    keys = Keys("a secret of the tests", Ref("shop", "v1"), "sha256:0", NUMBERS)
    row = (1.0, 2, 3.0)
    assert RowKeys(keys, NUMBERS).key(row) != keys.key(assemble(NUMBERS, [row]), tenant="other")


def test_tenants_never_share_a_key_and_the_row_says_the_same_as_the_arrays() -> None:
    signature = Signature((Column("x"), Column("y")))
    keys = Keys("s" * 32, Ref("m", "v1"), "sha256:0", signature)
    rows = RowKeys(keys, signature)
    made = {tenant: rows.key([1.0, 2.0], tenant) for tenant in ("", "a", "b", "ab")}
    assert len(set(made.values())) == 4
    assert all(key == keys.key(assemble(signature, [[1.0, 2.0]]), tenant=tenant) for tenant, key in made.items())
    assert rows.key([1.0, 2.0], "a") == made["a"]
