"""A LightGBM text model, read and written anew before LightGBM reads it.

LightGBM 4.7 believes the numbers it reads (CVE-2024-43598, CVE-2026-92786) and aborts or crashes the process on one bad
character. What it is given here is put together from parts that were checked: every number is a number, every array is
as long as it has to be, and every index stays inside. The parameters of the training run are not handed on; prediction
does not need them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LoadFailed

# Each number ends at a space or at the end, so that no line takes longer than it is.
_WHOLE = re.compile(r" *(?:-?[0-9]{1,10}(?: +|\Z))*")
_FLOAT = re.compile(r" *(?:-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|inf|nan)(?: +|\Z))*")
_OBJECTIVE = re.compile(r"[a-z_0-9]*(?: [a-z_]+(?::[-+.0-9e]+)?)*")
_RANGE = re.compile(r"none|\[[-+.0-9einf]+:[-+.0-9einf]+\]|-?[0-9]+(?::-?[0-9]+)*")
_PARAMETER = re.compile(r"^\[(boosting|categorical_feature): ([^\]\n]*)\]$", re.MULTILINE)
_MOST_CLASSES = 100_000

# What a tree's lines hold, and how many: per split, per leaf, or one.
_SPLITS = {"split_feature": _WHOLE, "split_gain": _FLOAT, "threshold": _FLOAT, "decision_type": _WHOLE} | {
    "left_child": _WHOLE,
    "right_child": _WHOLE,
    "internal_value": _FLOAT,
    "internal_weight": _FLOAT,
    "internal_count": _WHOLE,
}
_LEAVES = {
    "leaf_value": _FLOAT,
    "leaf_weight": _FLOAT,
    "leaf_count": _WHOLE,
    "leaf_const": _FLOAT,
    "num_features": _WHOLE,
}
_ONES = {"num_leaves": _WHOLE, "num_cat": _WHOLE, "is_linear": _WHOLE, "shrinkage": _FLOAT}
_LISTS = {"cat_boundaries": _WHOLE, "cat_threshold": _WHOLE, "leaf_features": _WHOLE, "leaf_coeff": _FLOAT}
_LINES = {**_ONES, **_SPLITS, **_LEAVES, **_LISTS}
_NEEDED = {
    "num_leaves",
    "num_cat",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
}


@dataclass(frozen=True, slots=True)
class Text:
    """``names`` of all columns, the ``objective``'s name, how many numbers a prediction has, categorical columns,
    pandas' lists of ``categories``, the kind of ``boosting``, and the ``text`` that LightGBM may read.
    """

    names: tuple[str, ...]
    objective: str
    classes: int
    categorical: tuple[int, ...]
    categories: tuple[tuple[Any, ...], ...]
    boosting: str
    text: str


def read_text(content: str) -> Text:
    """Raises LoadFailed where the text is cut off, or anything in it is not as it has to be."""
    body, end, tail = content.partition("\nend of trees")
    _require(bool(end), "it ends before its trees do")
    first, *blocks = body.split("\nTree=")
    keys = _keys(first)
    names = tuple(keys.get("feature_names", "").split())
    classes = _number(keys, "num_class")
    _require(bool(names) and len(names) == _number(keys, "max_feature_idx") + 1, "column names")
    _require(0 < classes <= _MOST_CLASSES and _number(keys, "num_tree_per_iteration") == classes, "class counts")
    _require(len(blocks) % classes == 0, "tree counts")
    sizes = keys.get("tree_sizes", "").split()
    _require(not sizes or len(sizes) == len(blocks), "tree counts")
    parameters = dict(_PARAMETER.findall(tail))
    trees = [_tree(block, number, len(names)) for number, block in enumerate(blocks)]
    return Text(
        names,
        keys.get("objective", "").split(" ")[0],
        classes,
        _categorical(parameters, keys, len(names)),
        _categories(tail),
        parameters.get("boosting", "gbdt"),
        "\n".join([_head(first, keys, len(names)), *trees, "end of trees\n"]),
    )


def _keys(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _head(first: str, keys: Mapping[str, str], columns: int) -> str:
    infos = keys.get("feature_infos", "").split()
    _require(len(infos) == columns and all(_RANGE.fullmatch(info) for info in infos), "column ranges")
    objective = keys.get("objective")
    _require(objective is None or bool(_OBJECTIVE.fullmatch(objective)), "objective")
    told = re.search(r"num_class:([0-9]+)", objective or "")
    _require(told is None or told[1] == keys["num_class"], "class counts")
    lines = ["tree", "version=v4", f"num_class={int(keys['num_class'])}"]
    lines += [f"num_tree_per_iteration={int(keys['num_tree_per_iteration'])}", "label_index=0"]
    lines += [f"max_feature_idx={columns - 1}"]
    lines += [f"objective={objective}"] if objective is not None else []
    lines += ["average_output"] if "\naverage_output" in first else []
    lines += [f"feature_names={keys['feature_names']}", f"feature_infos={' '.join(infos)}", ""]
    return "\n".join(lines)


def _tree(block: str, number: int, columns: int) -> str:
    keys = _keys(block)
    _require(block.split("\n", 1)[0] == str(number) and keys.keys() <= _LINES.keys(), "trees")
    _require(keys.keys() >= _NEEDED, "trees")
    for key, value in keys.items():
        _require(bool(_LINES[key].fullmatch(value)), f"'{key}'")
    leaves = _number(keys, "num_leaves")
    _require(leaves > 0, "leaves")
    for expected, group in ((leaves - 1, _SPLITS), (leaves, _LEAVES), (1, _ONES)):
        for key in group.keys() & keys.keys():
            _require(len(keys[key].split()) in ((expected, 0, 1) if leaves == 1 else (expected,)), f"'{key}'")
    _require(len(keys["leaf_value"].split()) == leaves, "leaves")
    if leaves > 1:
        _check_splits(keys, leaves, columns)
    _check_linear(keys, columns)
    lines = [f"{key}={keys[key]}" for key in _LINES if key in keys]
    return "\n".join([f"Tree={number}", *lines, "", ""])


def _check_splits(keys: Mapping[str, str], leaves: int, columns: int) -> None:
    features, left, right, kinds = (
        _whole(keys, key) for key in ("split_feature", "left_child", "right_child", "decision_type")
    )
    inner = leaves - 1
    _require(bool(np.all((features >= 0) & (features < columns))), "feature indices")
    for children in (left, right):
        # A split gets its number after the one above it, so that a walk down always ends; ~leaf is a leaf.
        _require(bool(np.all((children >= -leaves) & (children < inner))), "child indices")
        _require(bool(np.all((children < 0) | (children > np.arange(inner)))), "child indices")
    thresholds = np.array([float(part) for part in keys["threshold"].split()])
    count, used = _number(keys, "num_cat"), thresholds[(kinds & 1) == 1]
    _require(bool(np.all((used >= 0) & (used < count))), "categories")
    if count:
        ends = _whole(keys, "cat_boundaries")
        _require(len(ends) == count + 1 and bool(np.all(np.diff(ends) >= 0) and ends[0] == 0), "categories")
        _require(len(_whole(keys, "cat_threshold")) == ends[-1], "categories")


def _check_linear(keys: Mapping[str, str], columns: int) -> None:
    features, counts = _whole(keys, "leaf_features"), _whole(keys, "num_features")
    _require(bool(np.all((features >= 0) & (features < columns)) and np.all(counts >= 0)), "feature indices")
    _require(int(counts.sum()) == len(features) == len(keys.get("leaf_coeff", "").split()), "linear leaves")
    _require(keys.get("is_linear", "0") != "1" or {"leaf_const", "num_features"} <= keys.keys(), "linear leaves")


def _whole(keys: Mapping[str, str], key: str) -> NDArray[Any]:
    return np.array([int(part) for part in keys.get(key, "").split()], dtype=np.int64)


def _number(keys: Mapping[str, str], key: str) -> int:
    try:
        return int(keys[key])
    except (KeyError, ValueError):
        raise LoadFailed(f"the LightGBM model has no sound '{key}': the file is damaged") from None


def _categorical(parameters: Mapping[str, str], keys: Mapping[str, str], columns: int) -> tuple[int, ...]:
    """Columns trained as categories: by the parameters at the end of the file, else by their listed values."""
    parts = parameters.get("categorical_feature", "").replace(",", " ").split()
    if parts and all(part.isdecimal() for part in parts):
        return tuple(sorted(index for part in parts if (index := int(part)) < columns))
    infos = keys.get("feature_infos", "").split()
    return tuple(index for index, info in enumerate(infos[:columns]) if info[0] not in "[n")


def _categories(tail: str) -> tuple[tuple[Any, ...], ...]:
    line = next((line for line in reversed(tail.split("\n")) if line.startswith("pandas_categorical:")), None)
    if line is None:
        return ()
    try:
        found = json.loads(line.partition(":")[2])
    except ValueError:
        raise LoadFailed("the LightGBM model has no sound 'pandas_categorical': the file is damaged") from None
    scalars = str | int | float
    _require(found is None or isinstance(found, list), "categories")
    _require(
        all(isinstance(known, list) and all(isinstance(v, scalars) for v in known) for known in found or ()),
        "categories",
    )
    return tuple(tuple(known) for known in found or ())


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise LoadFailed(
            f"the LightGBM model is inconsistent ({what}): the file is damaged or was crafted",
            hint="Save the booster again with save_model.",
        )
