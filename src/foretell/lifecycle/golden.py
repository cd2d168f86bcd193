"""Whether a loaded model gives the answers recorded when it was packaged. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.core.manifest import Golden, Manifest
from foretell.core.values import Outputs
from foretell.errors import GoldenMismatch

_SHOWN_CHARS = 80


def check_golden(manifest: Manifest, outputs: Outputs) -> None:
    """Raises GoldenMismatch where ``outputs``, the answers to the golden examples in order, are not those recorded.

    Labels must be equal. Numbers must agree within ``golden_rtol`` of the larger of themselves and the typical size of
    what is compared (the root mean square of a prediction over all examples; 1 for probabilities), so that a value near
    zero is not held to digits that the arithmetic never had.
    """
    wrong = golden_faults(manifest, outputs)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise GoldenMismatch(f"{wrong[0]}{more}. The libraries or the file differ from those at packaging.")


def golden_faults(manifest: Manifest, outputs: Outputs) -> list[str]:
    """What differs, one sentence for each example that does."""
    listed, rtol = outputs.listed, manifest.golden_rtol
    scale = _typical([golden.prediction for golden in manifest.golden])
    faults = []
    for index, golden in enumerate(manifest.golden):
        got = listed.predictions[index]
        shares = listed.probabilities[index] if listed.probabilities is not None else None
        if not _same(golden.prediction, got, rtol, scale):
            faults.append(f"golden example {index} must give {_shown(golden.prediction)}, the model gave {_shown(got)}")
        elif (fault := _shares_fault(golden, shares, rtol)) is not None:
            faults.append(f"golden example {index} {fault}")
    return faults


def _shares_fault(golden: Golden, got: Sequence[float] | None, rtol: float) -> str | None:
    if golden.probabilities is None:
        return None
    if got is None:
        return "has probabilities, the model gave none"
    if _same(list(golden.probabilities), list(got), rtol, 1.0):
        return None
    return f"must have probabilities {_shown(list(golden.probabilities))}, the model gave {_shown(list(got))}"


def _same(wanted: Any, got: Any, rtol: float, scale: float) -> bool:
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(_same(wanted[key], got[key], rtol, scale) for key in wanted)
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        return len(wanted) == len(got) and all(_same(*pair, rtol, scale) for pair in zip(wanted, got, strict=True))
    if _is_number(wanted) and _is_number(got) and (isinstance(wanted, float) or isinstance(got, float)):
        return bool(np.isclose(got, wanted, rtol=rtol, atol=rtol * scale, equal_nan=True))
    return bool(wanted == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _typical(predictions: Sequence[Any]) -> float:
    numbers = np.array([number for item in predictions for number in _floats(item)], dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def _floats(item: Any) -> list[float]:
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, list | tuple):
        return [number for inner in item for number in _floats(inner)]
    return [float(item)] if _is_number(item) else []


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
