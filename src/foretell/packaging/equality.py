"""Whether what was written answers as the object given did (contract §5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.values import Outputs

RTOL_DOUBLE = 1e-9
RTOL_SINGLE = 1e-5
SHOWN_MAX = 5


@dataclass(frozen=True)
class Answers:
    """What the object given answers: ``predictions`` of shape (rows,) or (rows, outputs), and ``probabilities`` if any.

    A bare booster gives numbers whose meaning its objective fixes; for those ``raw`` is set, and ``predictions`` are
    compared with whatever the written model calls them: values, the second class's probability, or all probabilities.
    """

    predictions: NDArray[Any]
    probabilities: NDArray[Any] | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that was answered differently."""

    row: int
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"row {self.row}: expected {_shown(self.expected)}, got {_shown(self.got)}"


def differences(expected: Answers, got: Outputs, rtol: float) -> list[Difference]:
    """The rows that differ, in order.

    Labels must be equal. Numbers must agree within ``rtol`` of the larger of themselves and the typical size of what
    is compared (the root mean square; 1 for probabilities), so that values near zero are not held to digits that the
    arithmetic never had.
    """
    if expected.raw and got.probabilities is not None:
        raw = expected.predictions
        both = np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw
        expected = Answers(_labels(got), both)
    predictions = np.asarray(got.values if got.values is not None else _labels(got), dtype=object)
    wanted = np.asarray(expected.predictions, dtype=object)
    if predictions.size == wanted.size:
        predictions = predictions.reshape(wanted.shape)
    if predictions.shape != wanted.shape:
        return [Difference(0, f"shape {wanted.shape}", f"shape {predictions.shape}")]
    numeric = got.output.kind == "regression"
    unequal = _far(wanted, predictions, rtol, None) if numeric else wanted != predictions
    rows = {int(row): (wanted[row], predictions[row]) for row in _rows(unequal)}
    if expected.probabilities is not None and got.probabilities is not None:
        if expected.probabilities.shape != got.probabilities.shape:
            shapes = expected.probabilities.shape, got.probabilities.shape
            return [Difference(0, f"probabilities of shape {shapes[0]}", f"shape {shapes[1]}")]
        for row in _rows(_far(expected.probabilities, got.probabilities, rtol, 1.0)):
            rows.setdefault(int(row), (expected.probabilities[row], got.probabilities[row]))
    return [Difference(row, *rows[row]) for row in sorted(rows)]


def _labels(got: Outputs) -> NDArray[Any]:
    array = np.empty(got.count, dtype=object)
    array[:] = got.listed.predictions
    return array


def _far(wanted: Any, got: Any, rtol: float, scale: float | None) -> NDArray[np.bool_]:
    left, right = np.asarray(wanted, dtype=np.float64), np.asarray(got, dtype=np.float64)
    finite = left[np.isfinite(left)]
    typical = scale if scale is not None else float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
    return ~np.isclose(right, left, rtol=rtol, atol=rtol * typical, equal_nan=True)


def _rows(unequal: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.nonzero(unequal if unequal.ndim == 1 else unequal.reshape(len(unequal), -1).any(axis=1))[0]


def _shown(value: Any) -> str:
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(plain, list):
        return f"[{', '.join(_shown(item) for item in plain[:8])}{', ...' if len(plain) > 8 else ''}]"
    return f"{plain:.9g}" if isinstance(plain, float) else repr(plain)[:64]
