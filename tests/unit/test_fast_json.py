"""The fast way is the explaining way, only faster: what it accepts has the same values, what is plain it accepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.base import Decoders
from foretell.codecs.json import codec
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, assemble
from foretell.errors import InvalidInput, MalformedRequest
from tests.bodies import PLAIN_NAMES, good_values, odd_bodies, same, signatures
from tests.report import Report

LIMITS = BodyLimits(max_rows=3)
MANY = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))


def compiled(signature: Signature, limits: BodyLimits = LIMITS) -> Decoders:
    decoders = codec.compile(signature, limits)
    assert decoders is not None
    return decoders


def explained(body: bytes, signature: Signature, many: bool) -> Inputs:
    return bind(codec.parse(body, many, LIMITS, {}), signature, LIMITS, "m v1")


def fast(body: bytes, signature: Signature, many: bool) -> Inputs | None:
    decoders = codec.compile(signature, LIMITS)
    if decoders is None:
        return None
    if many:
        return decoders.batch(body)
    row = decoders.single(body)
    return None if row is None else assemble(signature, [row])


def check_one(signature: Signature, body: bytes, many: bool) -> None:
    quick = fast(body, signature, many)
    if quick is not None:
        document = codec.parse(body, many, LIMITS, {})
        assert document.model_version is None
        assert same(quick, bind(document, signature, LIMITS, "m v1"))
        return
    try:
        explained(body, signature, many)
    except (MalformedRequest, InvalidInput) as error:
        assert error.faults
        assert error.faults_total >= len(error.faults)
        assert isinstance(error, MalformedRequest) == any(not fault.readable for fault in error.faults)


@pytest.mark.parametrize(
    "examples", [600, pytest.param(50_000, marks=[pytest.mark.torture, pytest.mark.timeout(3600)])]
)
def test_what_the_fast_way_accepts_the_explaining_way_accepts_with_identical_values(
    examples: int, report: Report
) -> None:
    tried = 0

    @settings(MANY, max_examples=examples)
    @given(st.data(), signatures(), st.booleans())
    def each(data: st.DataObject, signature: Signature, many: bool) -> None:
        nonlocal tried
        tried += 1
        check_one(signature, data.draw(odd_bodies(signature, many)), many)

    each()
    report("JSON read the fast way and the explaining way has the same values", bar="0 differences", bodies=tried)


def as_objects(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


@settings(MANY, max_examples=200)
@given(st.data(), st.lists(st.sampled_from(PLAIN_NAMES), min_size=1, max_size=5, unique=True))
def test_plain_valid_bodies_are_taken_by_the_fast_way_in_every_form(data: st.DataObject, names: list[str]) -> None:
    columns = [Column(name, data.draw(st.sampled_from(ColumnType)), data.draw(st.booleans())) for name in names]
    signature = Signature(columns=tuple(columns))
    row = st.tuples(*map(good_values, columns))
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    objects = as_objects(rows, names)
    singles = [{"features": rows[0]}, {"features": objects[0]}, objects[0]]
    batches = [{key: form} for key in ("features", "instances") for form in (rows, objects)]
    indent = data.draw(st.sampled_from([None, 1]))
    for many, bodies in ((False, singles), (True, batches)):
        for document in bodies:
            body = json.dumps(document, ensure_ascii=False, indent=indent).encode()
            quick = fast(body, signature, many)
            assert quick is not None, body
            assert same(quick, explained(body, signature, many))


FOUR = Signature(columns=tuple(Column(name) for name in "abcd"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [1, 2, 3, 4], "features": [1, 2, 3, 5]}',
        b'{"a": 1, "a": 1, "b": 2, "c": 3, "d": 4}',
        b'{"features": {"a": 1, "b": 2, "c": 3, "d": 4, "d": 4}}',
        b'{"features": [1, 2, 3, 4], "model_version": "v1"}',
        b'{"a": 1, "b": 2, "c": 3, "d": 4, "model_version": "v1"}',
        b'{"features": [1, 2, 3, true]}',
        b'{"features": [1, 2, 3, "4"]}',
        b'{"features": [1, 2, 3, NaN]}',
        b'{"features": [1, 2, 3, 1e999]}',
        b'\xef\xbb\xbf{"features": [1, 2, 3, 4]}',
        b'{"features": [1, 2, 3, 4]}\x00',
        b'{"instances": [1, 2, 3, 4]}',
        b"",
    ],
)
def test_a_single_body_that_is_not_plain_is_left_to_the_explaining_way(body: bytes) -> None:
    assert compiled(FOUR).single(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": [[1, 2, 3, 4]], "instances": [[1, 2, 3, 4]]}',
        b'{"features": [[1, 2, 3, 4], [1, 2, 3]]}',
        b'{"features": [[1, 2, 3, [4]]]}',
        b'{"features": [[1, 2, 3, 4], [1, 2, 3, {}]]}',
        b'{"features": [[1, 2], [3, 4]]}',
        b'{"features": []}',
        b'{"features": [1, 2, 3, 4]}',
        b'{"features": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]}',
        b'{"features": [{"a": 1, "b": 2, "c": 3, "d": 4, "a": 1}]}',
        b'{"features": [{"a": 1, "b": 2, "c": 3}]}',
        b'{"features": [[1, 2, 3, null]]}',
        b'{"others": [[1, 2, 3, 4]]}',
        b'\xef\xbb\xbf{"features": [[1, 2, 3, 4]]}',
        b'{"features": [[1, 2, 3, 4]], "model_version": "v1"}',
        b'[["features"]]',
        b"{}",
        b'"',
    ],
)
def test_a_batch_body_that_is_not_plain_is_left_to_the_explaining_way(body: bytes) -> None:
    assert compiled(FOUR).batch(body) is None


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        (Column("x", ColumnType.FLOAT, minimum=0), ["0", "1.5"], ["-1", "-5e-324"]),
        (Column("x", ColumnType.FLOAT, exclusive_minimum=0, minimum=-1), ["5e-324"], ["0", "-0.0"]),
        (Column("x", ColumnType.FLOAT, exclusive_maximum=1, maximum=1), ["0.9999999999999999"], ["1"]),
        (Column("x", ColumnType.FLOAT, maximum=1, exclusive_maximum=5), ["1"], ["1.0000000000000002"]),
        (Column("x", ColumnType.INTEGER, minimum=0.5, maximum=3), ["1", "3"], ["0", "4", "1.5"]),
        (Column("x", ColumnType.INTEGER, exclusive_minimum=0, exclusive_maximum=2.5), ["1", "2"], ["0", "3"]),
    ],
)
def test_declared_bounds_hold_in_single_and_batch(column: Column, good: list[str], bad: list[str]) -> None:
    decoders = compiled(Signature(columns=(column,)))
    for text in good:
        assert decoders.single(f'{{"features": [{text}]}}'.encode()) == (float(text),)
        batch = decoders.batch(f'{{"features": [[{text}]]}}'.encode())
        assert isinstance(batch, Matrix)
        assert batch.values.tolist() == [[float(text)]]
    for text in bad:
        assert decoders.single(f'{{"features": [{text}]}}'.encode()) is None
        assert decoders.batch(f'{{"features": [[{text}]]}}'.encode()) is None


@pytest.mark.parametrize(
    "column",
    [
        Column("x", minimum=float("nan")),
        Column("x", maximum=float("inf")),
        Column("x", minimum=2**53 + 1),
        Column("x", minimum=10**400),
        Column("x", ColumnType.INTEGER, minimum=float("inf")),
        Column("x", ColumnType.INTEGER, minimum=2, maximum=1),
        Column("x", ColumnType.CATEGORY, categories=("a",), closed=True, pattern="a"),
        Column("x", ColumnType.CATEGORY, categories=("a" * 2_000_000,), closed=True),
        Column("x", ColumnType.CATEGORY, closed=True),
    ],
)
def test_rules_a_type_cannot_say_leave_no_fast_way(column: Column) -> None:
    assert codec.compile(Signature(columns=(column,)), LIMITS) is None


@pytest.mark.parametrize("limits", [BodyLimits(max_depth=2), BodyLimits(max_digits=20)])
def test_limits_stricter_than_the_fast_way_can_hold_leave_none(limits: BodyLimits) -> None:
    assert codec.compile(FOUR, limits) is None


def test_names_that_need_escapes_leave_lists_to_the_fast_way() -> None:
    decoders = compiled(Signature(columns=(Column('a"b'), Column("tab\t"))))
    assert decoders.single(b'{"features": [1, 2]}') == (1.0, 2.0)
    assert decoders.single(b'{"tab": 1}') is None


def test_a_column_called_features_is_not_taken_at_the_top_level() -> None:
    decoders = compiled(Signature(columns=(Column("features"),)))
    assert decoders.single(b'{"features": [1]}') == (1.0,)
    assert decoders.single(b'{"features": {"features": 1}}') == (1.0,)
    assert decoders.single(b'{"features": 1}') is None


def test_made_up_names_are_not_taken_at_the_top_level() -> None:
    decoders = compiled(Signature(columns=(Column("x0"),), named=False))
    assert decoders.single(b'{"x0": 1}') is None
    assert decoders.single(b'{"features": {"x0": 1}}') == (1.0,)


def test_the_fast_way_goes_on_after_any_refusal() -> None:
    decoders = compiled(FOUR)
    good = b'{"features": [[1, 2, 3, 4]]}'
    for bad in (
        b'{"features": [[1, 2, 3, true]]}',
        b'{"features": [[1, 2, 3]]}',
        b'{"features": [',
        b'{"features": 1}',
    ):
        assert decoders.batch(bad) is None
        assert isinstance(decoders.batch(good), Matrix)


def test_a_matrix_outlives_the_next_parse() -> None:
    decoders = compiled(FOUR)
    first = decoders.batch(b'{"features": [[1, 2, 3, 4]]}')
    decoders.batch(b'{"features": [[5, 6, 7, 8], [5, 6, 7, 8]]}')
    assert isinstance(first, Matrix)
    assert first.values.tolist() == [[1, 2, 3, 4]]


SPARSE = Signature(
    columns=(
        Column("a"),
        Column("s", ColumnType.STRING, nullable=True),
        Column("t", ColumnType.DATETIME, nullable=True),
        Column("n", nullable=True),
    )
)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ('{"a": 1}', [1.0, None, None, None]),
        ('{"a": 1, "s": null, "n": 2}', [1.0, None, None, 2.0]),
        ('{"n": 2, "t": "2026-01-01T00:00:00Z", "s": "", "a": 1}', [1.0, "", MOMENT, 2.0]),
        ('[1, "x", "2026-01-01T01:00:00+01:00", null]', [1.0, "x", MOMENT, None]),
        ('{"a": 1, "s": "x", "s": "x"}', None),
        ('{"a": 1, "n": null, "n": null}', None),
        ('{"a": 1, "t": "yesterday"}', None),
        ('[1, "x", "2026-01-01", null]', None),
        ('{"s": "x"}', None),
    ],
)
def test_columns_left_out_and_null_are_counted_right(row: str, values: list[Any] | None) -> None:
    decoders = compiled(SPARSE)
    taken = [decoders.single(f'{{"features": {row}}}'.encode())]
    if row.startswith("{"):
        taken.append(decoders.single(row.encode()))
    assert [None if one is None else list(one) for one in taken] == [values] * len(taken)
    batch = decoders.batch(f'{{"features": [{row}, {row}]}}'.encode())
    assert (batch is None) == (values is None)
    if batch is not None and values is not None:
        assert same(batch, assemble(SPARSE, [values, values]))


def test_tensors_have_no_fast_way() -> None:
    assert codec.compile(Signature(tensors=(Tensor("x", "float32", (-1, 2)),)), LIMITS) is None
