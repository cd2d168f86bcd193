"""Reference statistics: what the example data looked like. Documentation and drift's reference, never a bound."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import ColumnType
from foretell.packaging.sample import Sample, SampleColumn

QUANTILES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
TOP_MAX = 50
WIDE = 1000
"""From so many columns on, quantiles and texts are left out, so that the manifest keeps a size that servers read."""
TEXT_MAX_CHARS = 64


def statistics(sample: Sample) -> dict[str, dict[str, Any]]:
    """By column, values that TOML and JSON can hold: counts for every column, and what its type allows beyond."""
    wide = len(sample.columns) > WIDE
    return {column.name: _brief(_column(column)) if wide else _column(column) for column in sample.columns}


def _brief(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in ("quantiles", "top")}


def _column(column: SampleColumn) -> dict[str, Any]:
    present = column.values[~column.nulls]
    counts: dict[str, Any] = {"count": len(column.values), "nulls": int(column.nulls.sum())}
    if not len(present):
        return counts
    match column.type:
        case ColumnType.FLOAT | ColumnType.INTEGER:
            return {**counts, **_numbers(present.astype(np.float64))}
        case ColumnType.BOOLEAN:
            return {**counts, "mean": float(present.astype(np.float64).mean())}
        case ColumnType.DATETIME:
            ordered = np.sort(present)
            return {**counts, "minimum": _moment(ordered[0]), "maximum": _moment(ordered[-1])}
        case _:
            return {**counts, **_texts(present)}


def _numbers(values: NDArray[np.float64]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    found: dict[str, Any] = {"infinite": len(values) - len(finite)} if len(finite) < len(values) else {}
    if not len(finite):
        return found
    with np.errstate(over="ignore", invalid="ignore"):
        moments = {"mean": float(finite.mean()), "std": float(finite.std())}
    quantiles = np.quantile(finite, QUANTILES, method="inverted_cdf")
    return {
        **found,
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        **{name: value for name, value in moments.items() if np.isfinite(value)},
        "quantiles": {f"{share:g}": float(value) for share, value in zip(QUANTILES, quantiles, strict=True)},
    }


def _texts(values: NDArray[Any]) -> dict[str, Any]:
    counted = Counter(values.tolist())
    lengths = [len(text) for text in counted]
    # by count, then by text: the same data gives the same manifest
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:TOP_MAX]
    kept = [{"value": text, "count": count} for text, count in top if len(text) <= TEXT_MAX_CHARS]
    return {"distinct": len(counted), "min_length": min(lengths), "max_length": max(lengths), "top": kept}


def _moment(value: np.datetime64) -> str:
    return f"{np.datetime_as_string(value, unit='us')}Z"
