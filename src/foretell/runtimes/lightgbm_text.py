"""A LightGBM text model, read before LightGBM reads it: its head, and whether its trees stay within their arrays.

LightGBM 4.7 believes the numbers it reads (CVE-2024-43598, CVE-2026-92786): a crafted text could write or read outside
its arrays, or walk a tree for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LoadFailed

_CATEGORICAL_LINE = re.compile(r"^\[categorical_feature: ([0-9, ]*)\]$", re.MULTILINE)
_MOST_CLASSES = 100_000


@dataclass(frozen=True, slots=True)
class Head:
    """``names`` of all columns, the ``objective``'s name, how many numbers a prediction has, categorical columns."""

    names: tuple[str, ...]
    objective: str
    classes: int
    categorical: tuple[int, ...]


def read_text(text: str) -> Head:
    """Raises LoadFailed where the text is cut off or an index in it points outside."""
    head, *rest = text.split("\nTree=")
    keys = _keys(head)
    names = tuple(keys.get("feature_names", "").split())
    classes = _number(keys, "num_class")
    _require("end of trees" in text, "it ends before its trees do")
    _require(bool(names) and len(names) == _number(keys, "max_feature_idx") + 1, "column names")
    _require(0 < classes <= _MOST_CLASSES and _number(keys, "num_tree_per_iteration") == classes, "class counts")
    sizes = keys.get("tree_sizes", "").split()
    _require(len(rest) % classes == 0 and (not sizes or len(sizes) == len(rest)), "tree counts")
    for tree in rest:
        _check_tree(_keys(tree.split("\n\n")[0]), len(names))
    objective = keys.get("objective", "").split(" ")[0]
    return Head(names, objective, classes, _categorical(text, keys, len(names)))


def _keys(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _number(keys: Mapping[str, str], key: str) -> int:
    try:
        return int(keys[key])
    except (KeyError, ValueError):
        raise LoadFailed(f"the LightGBM model has no sound '{key}': the file is damaged") from None


def _categorical(text: str, keys: Mapping[str, str], columns: int) -> tuple[int, ...]:
    """Columns trained as categories: by the parameters at the end of the file, else by their listed values."""
    found = _CATEGORICAL_LINE.search(text)
    if found and found[1].strip():
        return tuple(sorted(index for part in found[1].split(",") if (index := int(part)) < columns))
    infos = keys.get("feature_infos", "").split()
    return tuple(index for index, info in enumerate(infos[:columns]) if info[0] not in "[n")


def _check_tree(keys: Mapping[str, str], columns: int) -> None:
    leaves = _number(keys, "num_leaves")
    _require(leaves > 0 and len(_values(keys, "leaf_value", float)) == leaves, "leaves")
    if leaves == 1:
        return
    inner = leaves - 1
    features, left, right = (_values(keys, key, int) for key in ("split_feature", "left_child", "right_child"))
    kinds, thresholds = _values(keys, "decision_type", int), _values(keys, "threshold", float)
    _require(all(len(array) == inner for array in (features, left, right, kinds, thresholds)), "node counts")
    _require(bool(np.all((features >= 0) & (features < columns))), "feature indices")
    for children in (left, right):
        # A split gets its number after the one above it, so that a walk down always ends; ~leaf is a leaf.
        _require(bool(np.all((children >= -leaves) & (children < inner))), "child indices")
        _require(bool(np.all((children < 0) | (children > np.arange(inner)))), "child indices")
    _check_categories(keys, thresholds[(kinds & 1) == 1])
    for linear in ("leaf_features", "leaf_features_inner"):
        _require(bool(np.all(_values(keys, linear, int) < columns)), "feature indices")


def _check_categories(keys: Mapping[str, str], used: NDArray[np.float64]) -> None:
    count = _number(keys, "num_cat")
    _require(bool(np.all((used >= 0) & (used < count))), "categories")
    if count:
        ends = _values(keys, "cat_boundaries", int)
        _require(len(ends) == count + 1 and bool(np.all(np.diff(ends) >= 0) and ends[0] == 0), "categories")
        _require(len(keys.get("cat_threshold", "").split()) == ends[-1], "categories")


def _values(keys: Mapping[str, str], key: str, kind: type) -> NDArray[Any]:
    try:
        return np.array([kind(part) for part in _parts(keys, key)], dtype=np.int64 if kind is int else np.float64)
    except (ValueError, OverflowError):
        raise LoadFailed(f"the LightGBM model has no sound '{key}': the file is damaged") from None


def _parts(keys: Mapping[str, str], key: str) -> Iterator[str]:
    return iter(keys.get(key, "").split())


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise LoadFailed(
            f"the LightGBM model is inconsistent ({what}): the file is damaged or was crafted",
            hint="Save the booster again with save_model.",
        )
