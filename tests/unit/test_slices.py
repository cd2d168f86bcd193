"""A large body read in slices is the body read as a whole, or it is not read in slices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.json.batch import batch_decoder
from foretell.codecs.json.shapes import Shapes
from foretell.codecs.json.slices import LONGEST_ROW_BYTES, sliced
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Inputs, Matrix, join
from tests.bodies import PLAIN_NAMES, good_values, odd_bodies, same, signatures

LIMITS = BodyLimits(max_rows=8)
MANY = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = Signature((Column("a"), Column("b")))
MIXED = Signature((Column("a"), Column("t", ColumnType.STRING)))


def both(signature: Signature, body: bytes, limits: BodyLimits = LIMITS, slice_bytes: int = 1) -> tuple[Any, Any]:
    """The rows in slices as small as they can be, and as a whole."""
    shapes = Shapes.of(signature, limits)
    if shapes is None:
        return None, None
    batch = batch_decoder(signature, shapes, limits)
    parts = list(sliced(body, batch, limits.max_rows, slice_bytes))
    assert parts, "there is always a last part"
    assert all(part is not None for part in parts[:-1])
    whole: list[Inputs] = [part for part in parts if part is not None]
    return (join(whole) if parts[-1] is not None else None), batch(body)


@MANY
@given(data=st.data(), slice_bytes=st.integers(1, 64))
def test_what_is_read_in_slices_is_what_stands_in_the_body(data: st.DataObject, slice_bytes: int) -> None:
    signature = data.draw(signatures(PLAIN_NAMES))
    body = data.draw(odd_bodies(signature, True))
    parts, whole = both(signature, body, slice_bytes=slice_bytes)
    if parts is not None:
        assert whole is not None and same(parts, whole)


@MANY
@given(data=st.data(), slice_bytes=st.integers(1, 64))
def test_plain_rows_are_read_in_slices(data: st.DataObject, slice_bytes: int) -> None:
    signature = data.draw(signatures(PLAIN_NAMES))
    row = st.tuples(*[good_values(column) for column in signature.columns])
    rows = data.draw(st.lists(row, min_size=1, max_size=8))
    key = data.draw(st.sampled_from(["features", "instances"]))
    body = json.dumps({key: rows}, default=str, ensure_ascii=False).encode()
    parts, whole = both(signature, body, slice_bytes=slice_bytes)
    assert (parts is None) == (whole is None)
    if whole is not None:
        assert same(parts, whole)


@pytest.mark.parametrize(
    "body",
    [
        b'{"features":[[1,2],[3,4]],"features":[[5,6],[7,8]]}',
        b'{"features":[[1,2],[3,4]],"instances":[[5,6],[7,8]]}',
        b'{"features":[[1,2],[3,4]],"model_version":"v1"}',
        b'{"features":[[1,2],[3,4]]]}',
        b'{"features":[[1,2],[3,4]}',
        b'{"features":[[1,2],[3,4],]}',
        b'{"features":[[1,2],,[3,4]]}',
        b'{"features":[[1,2],[3,4]]}{"features":[[1,2]]}',
        b'{"features":[]}',
        b'{"features":[[1,2],[3]]}',
        b'{"features":[[1,[2]],[3,4]]}',
        b'{"features":[[1,2],[[3,4]]]}',
        b'[{"features":[[1,2],[3,4]]}]',
        b"",
        b'{"features":[[1,2]' + b",[1,2]" * 8 + b"]}",
    ],
)
def test_what_is_not_plain_as_a_whole_is_not_plain_in_slices(body: bytes) -> None:
    assert both(NUMBERS, body) == (None, None)


@pytest.mark.parametrize("text", ["],[", "a],[1", '],["', "}, {", "]}", "[[", "]"])
def test_a_text_that_looks_like_the_end_of_a_row_is_a_text(text: str) -> None:
    rows = [[1.5, text], [2.5, "plain"], [3.5, text]]
    parts, whole = both(MIXED, json.dumps({"features": rows}).encode())
    assert parts is None or same(parts, whole)
    plain = both(MIXED, json.dumps({"features": [[1.5, "x"]] * 5}).encode())
    assert plain[0] is not None and same(*plain)


def test_many_rows_come_in_many_parts() -> None:
    limits = BodyLimits(max_rows=10_000)
    shapes = Shapes.of(NUMBERS, limits)
    assert shapes is not None
    batch = batch_decoder(NUMBERS, shapes, limits)
    body = json.dumps({"features": [[i, 0.5] for i in range(10_000)]}).encode()
    parts = [part for part in sliced(body, batch, 10_000, 1024) if part is not None]
    assert len(parts) > 50
    whole = join(parts)
    assert isinstance(whole, Matrix) and whole.values[:, 0].tolist() == list(range(10_000))


def test_a_row_that_does_not_end_is_not_searched_for_ever() -> None:
    body = b'{"features":[[' + b"1," * (2 * LONGEST_ROW_BYTES) + b"1]]}"
    assert both(NUMBERS, body, slice_bytes=1024)[0] is None
