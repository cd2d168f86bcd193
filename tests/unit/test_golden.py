"""Golden examples: what counts as the answer recorded at packaging."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foretell.core.manifest import Golden
from foretell.core.signature import Output, Tensor
from foretell.core.values import Outputs
from foretell.errors import GoldenMismatch
from foretell.lifecycle.golden import check_golden, golden_faults
from tests.versions import manifest_of

CLASSES = Output("classification", ("a", "b"), probabilities=True)
NUMBERS = Output("regression")
SEVERAL = Output("regression", names=("low", "high"))
TENSORS = Output("tensors", tensors=(Tensor("t", "float32", (-1, 2)), Tensor("u", "int64", (-1,))))


def classes(index: int, *shares: float) -> Outputs:
    return Outputs(CLASSES, indices=np.array([index]), probabilities=np.array([shares]) if shares else None)


def numbers(*values: float) -> Outputs:
    return Outputs(NUMBERS, values=np.array(values))


@pytest.mark.parametrize(
    ("prediction", "probabilities", "outputs", "right"),
    [
        ("b", None, classes(1), True),
        ("a", None, classes(1), False),
        ("b", (0.25, 0.75), classes(1, 0.25, 0.75), True),
        ("b", (0.25, 0.75), classes(1, 0.25 + 1e-10, 0.75), True),
        ("b", (0.25, 0.75), classes(1, 0.25 + 1e-8, 0.75), False),
        ("b", (0.25, 0.75), classes(1), False),
        ("b", (1.0,), classes(1, 0.25, 0.75), False),
        ("b", (1e-12, 1.0), classes(1, 2e-12, 1.0), True),
        (3.0, None, numbers(3.0), True),
        (3.0, None, numbers(3.0 * (1 + 1e-10)), True),
        (3.0, None, numbers(3.0 * (1 + 1e-8)), False),
        (3, None, numbers(3.0), True),
        (float("inf"), None, numbers(float("inf")), True),
        (float("inf"), None, numbers(3.0), False),
        ([1.0, 2.0], None, Outputs(SEVERAL, values=np.array([[1.0, 2.0]])), True),
        ([1.0, 2.0], None, Outputs(SEVERAL, values=np.array([[1.0, 2.1]])), False),
        ([1.0], None, Outputs(SEVERAL, values=np.array([[1.0, 2.0]])), False),
        ("1", None, numbers(1.0), False),
        (True, None, numbers(1.0), True),
        (
            {"t": [1.0, 2.0], "u": 3},
            None,
            Outputs(TENSORS, tensors={"t": np.array([[1.0, 2.0]]), "u": np.array([3])}),
            True,
        ),
        (
            {"t": [1.0, 2.0], "u": 4},
            None,
            Outputs(TENSORS, tensors={"t": np.array([[1.0, 2.0]]), "u": np.array([3])}),
            False,
        ),
        ({"t": [1.0]}, None, Outputs(TENSORS, tensors={"t": np.array([[1.0, 2.0]]), "u": np.array([3])}), False),
    ],
)
def test_labels_are_equal_and_numbers_near(prediction: Any, probabilities: Any, outputs: Outputs, right: bool) -> None:
    manifest = manifest_of(golden=[Golden([1.0, 2.0], prediction, probabilities)])
    assert (golden_faults(manifest, outputs) == []) is right


def test_a_number_near_zero_is_held_to_the_size_of_the_others() -> None:
    manifest = manifest_of(golden=[Golden([0.0, 0.0], 1e-15), Golden([1.0, 1.0], 100.0)])
    assert not golden_faults(manifest, numbers(3e-15, 100.0))
    assert len(golden_faults(manifest, numbers(1e-6, 100.0))) == 1


def test_the_manifests_tolerance_counts() -> None:
    manifest = manifest_of(golden=[Golden([0.0, 0.0], 1.0)])
    assert golden_faults(manifest, numbers(1.0 + 1e-6))
    assert not golden_faults(replace(manifest, golden_rtol=1e-5), numbers(1.0 + 1e-6))


def test_the_first_difference_is_named_and_the_others_counted() -> None:
    manifest = manifest_of(golden=[Golden([0.0, 0.0], 1.0)] * 3)
    with pytest.raises(GoldenMismatch, match=r"golden example 0 must give 1\.0, the model gave 2\.0 and 2 more"):
        check_golden(manifest, numbers(2.0, 2.0, 2.0))
    check_golden(manifest, numbers(1.0, 1.0, 1.0))


def test_long_values_are_clipped() -> None:
    manifest = manifest_of(golden=[Golden([0.0], "x" * 5000)])
    assert len(golden_faults(manifest, numbers(1.0))[0]) < 200
