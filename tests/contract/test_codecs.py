"""The contract of the codec port, run over every codec."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json as stdlib_json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.codecs.base import Codec
from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec as json
from foretell.core.document import Document
from foretell.core.examples import example_csv, example_request
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import assemble
from foretell.errors import InvalidInput, MalformedRequest
from tests.bodies import PLAIN_NAMES, good_values, odd_bodies, same, signatures

CODECS: tuple[Codec, ...] = (json, csv)
LIMITS = BodyLimits(max_rows=3)
MIXED = Signature(
    columns=(Column("a", ColumnType.INTEGER), Column("b", ColumnType.STRING, nullable=True), Column("c")),
    output=Output("classification", ("x", "y")),
)


def by_media_type(codec: Codec) -> str:
    return codec.media_type


@pytest.mark.parametrize("codec", CODECS, ids=by_media_type)
def test_a_media_type_is_lower_case_and_without_parameters(codec: Codec) -> None:
    assert codec.media_type == codec.media_type.lower().partition(";")[0].strip()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("codec", CODECS, ids=by_media_type)
def test_the_example_of_a_model_is_read_and_bound(codec: Codec, many: bool) -> None:
    body = _example(codec, MIXED, many)
    document = codec.parse(body, many, LIMITS, {})
    assert isinstance(document, Document)
    assert document.single is not many
    assert document.model_version is None
    inputs = bind(document, MIXED, LIMITS, "m v1")
    decoders = codec.compile(MIXED, LIMITS)
    if decoders is not None:
        row = None if many else decoders.single(body)
        quick = decoders.batch(body) if many else None if row is None else assemble(MIXED, [row])
        assert quick is not None
        assert same(quick, inputs)


def _example(codec: Codec, signature: Signature, many: bool) -> bytes:
    if codec.media_type == "text/csv":
        return (example_csv(signature, many=many) or "").encode()
    return stdlib_json.dumps(example_request(signature, many=many)).encode()


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), signatures(), st.sampled_from(CODECS), st.booleans())
def test_any_bytes_are_read_and_bound_or_refused_with_faults(
    data: st.DataObject, signature: Signature, codec: Codec, many: bool
) -> None:
    cells = st.text('a1,."\r\n\t é-+eEnaif', max_size=30).map(str.encode)
    body = data.draw(st.binary(max_size=30) | cells | odd_bodies(signature, many))
    try:
        inputs = bind(codec.parse(body, many, LIMITS, {}), signature, LIMITS, "m v1")
        assert 1 <= inputs.count <= (LIMITS.max_rows if many else 1)
    except (MalformedRequest, InvalidInput) as error:
        assert error.faults
        assert error.faults_total >= len(error.faults)


@pytest.mark.parametrize("codec", CODECS, ids=by_media_type)
def test_tensors_are_bound_or_refused(codec: Codec) -> None:
    signature = Signature(tensors=(Tensor("x", "float32", (-1, 2)),))
    assert codec.compile(signature, LIMITS) is None
    for body in (b'{"features": [1, 2]}', b"1,2", b"{}", b"x"):
        try:
            assert bind(codec.parse(body, False, LIMITS, {}), signature, LIMITS, "m v1").count == 1
        except MalformedRequest as error:
            assert error.faults


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.lists(st.sampled_from(PLAIN_NAMES), min_size=1, max_size=4, unique=True))
def test_the_same_rows_have_the_same_values_in_every_format(data: st.DataObject, names: Sequence[str]) -> None:
    columns = [Column(name, data.draw(st.sampled_from(ColumnType)), nullable=True) for name in names]
    signature = Signature(columns=tuple(columns))
    # an empty text is null in CSV and a text in JSON: the one difference there is
    rows = data.draw(st.lists(st.tuples(*map(good_values, columns)), min_size=1, max_size=3))
    rows = [tuple(None if value == "" else value for value in row) for row in rows]
    body = stdlib_json.dumps({"features": rows}).encode()
    left = bind(json.parse(body, True, LIMITS, {}), signature, LIMITS, "m v1")
    for header in ("present", "absent"):
        text = _written(names if header == "present" else None, rows)
        right = bind(csv.parse(text.encode(), True, LIMITS, {"header": header}), signature, LIMITS, "m v1")
        assert same(left, right)


def _written(header: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = stdlib_csv.writer(text)
    if header is not None:
        writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()
