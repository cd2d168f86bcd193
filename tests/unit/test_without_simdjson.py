"""Where simdjson has no wheel (Python 3.14), batches of numbers are read with the same result."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.codecs.json import JsonCodec, batch
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Matrix

SIGNATURE = Signature((Column("x"), Column("y")), output=Output("regression"))


@pytest.mark.parametrize(
    "body", [b'{"features": [[1, 2.5], [-3e2, 0]]}', b'{"instances": [{"x": 1, "y": 2.5}, {"y": 0, "x": -300}]}']
)
def test_a_batch_of_numbers_is_read_without_simdjson(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "simdjson", None)
    decoders = JsonCodec().compile(SIGNATURE, BodyLimits(max_rows=3))
    assert decoders is not None
    read = decoders.batch(body)
    assert isinstance(read, Matrix)
    np.testing.assert_array_equal(read.values, [[1.0, 2.5], [-300.0, 0.0]])


@pytest.mark.parametrize(
    "body", [b'{"features": [[1, 2.5], [3]]}', b'{"features": [[1, "2.5"]]}', b'{"features": [[1, [2]]]}']
)
def test_what_is_not_plain_is_left_to_the_explaining_way_without_simdjson(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "simdjson", None)
    decoders = JsonCodec().compile(SIGNATURE, BodyLimits(max_rows=3))
    assert decoders is not None
    assert decoders.batch(body) is None
