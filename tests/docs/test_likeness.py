"""What the tests of the documentation take for alike, and what not."""

from __future__ import annotations

import pytest

from tests.docs.likeness import difference


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ('{"a": 1, "prediction_id": "x"}', '{"a": 1, "prediction_id": "y"}'),
        ('{"confidence": 0.5}', '{"confidence": 0.50000000001}'),
        ('{"inference_time_ms": 0.2}', '{"inference_time_ms": 1}'),
        ("ready in 1.2 s\n", "ready in 7 s"),
        ("p = 0.25", "p = 0.2500000001"),
    ],
)
def test_what_differs_in_every_run_is_alike(shown: str, printed: str) -> None:
    assert difference(shown, printed) is None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ('{"a": 1}', '{"a": 2}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": [1, 2]}', '{"a": [1]}'),
        ('{"confidence": 0.5}', '{"confidence": 0.501}'),
        ('{"prediction_id": "x"}', '{"prediction_id": null}'),
        ('{"a": 1}', "not JSON"),
        ("one line", "one line\nand another"),
        ("p = 0.25", "p = 0.26"),
        ("yes", "no"),
    ],
)
def test_what_says_something_else_is_not(shown: str, printed: str) -> None:
    assert difference(shown, printed)
