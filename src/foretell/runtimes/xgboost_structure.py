"""Whether the trees of an XGBoost document stay within their arrays: children, features, groups and categories.

Asked before XGBoost reads the document: 3.2 believes what it finds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foretell.errors import LoadFailed

_NONE, _ROOT = -1, 2**31 - 1
_BY_NODE = ("default_left", "split_type", "split_conditions", "loss_changes", "sum_hessian")


def check_structure(learner: Mapping[str, Any]) -> None:
    """Raises LoadFailed where an index points outside, or a walk down a tree might not end."""
    param, booster = learner["learner_model_param"], learner["gradient_booster"]
    features = int(param["num_feature"])
    groups = max(int(param["num_class"]), int(param.get("num_target", 1)), 1)
    if booster["name"] == "gblinear":
        _require(len(booster["model"]["weights"]) == (features + 1) * groups, "weights")
        return
    inner = booster.get("gbtree", booster)
    model = inner["model"]
    trees = model["trees"]
    _require(all(0 <= group < groups for group in model["tree_info"]), "groups")
    _require(len(model["tree_info"]) == len(trees) == int(model["gbtree_model_param"]["num_trees"]), "groups")
    ends = np.asarray(model.get("iteration_indptr", [0, len(trees)]))
    _require(bool(np.all(np.diff(ends) >= 0) and ends[0] == 0 and ends[-1] == len(trees)), "rounds")
    if "weight_drop" in booster:
        _require(len(booster["weight_drop"]) == len(trees), "weights")
    for tree in trees:
        _check_tree(tree, features, groups)


def _check_tree(tree: Mapping[str, Any], features: int, groups: int) -> None:
    left, right = np.asarray(tree["left_children"]), np.asarray(tree["right_children"])
    count = int(tree["tree_param"]["num_nodes"])
    _require(count > 0 and len(left) == len(right) == count, "node counts")
    inner = np.flatnonzero(left != _NONE)
    children = np.concatenate([left[inner], right[inner]])
    # Every node has one parent at most and the root none, so that a walk from the root ends.
    _require(bool(np.all((children > 0) & (children < count))), "child indices")
    _require(len(np.unique(children)) == len(children), "child indices")
    parents = np.asarray(tree["parents"])
    _require(len(parents) == count and parents[0] in (_NONE, _ROOT), "parents")
    _require(bool(np.all(parents[left[inner]] == inner) and np.all(parents[right[inner]] == inner)), "parents")
    _require(bool(np.all((parents[1:] >= 0) & (parents[1:] < count))), "parents")
    splits = np.asarray(tree["split_indices"])
    _require(len(splits) == count, "feature indices")
    _require(bool(np.all((splits[inner] >= 0) & (splits[inner] < features))), "feature indices")
    _require(all(len(tree[name]) == count for name in _BY_NODE), "node counts")
    width = int(tree["tree_param"]["size_leaf_vector"])
    _require(width in (1, groups) and len(tree["base_weights"]) == count * width, "leaves")
    _require(width == 1 or len(tree["leaf_weights"]) == width * (count - len(inner)), "leaves")
    _require(int(tree["tree_param"]["num_feature"]) == features, "feature counts")
    _require(0 <= int(tree["tree_param"]["num_deleted"]) < count, "node counts")
    starts, sizes = np.asarray(tree.get("categories_segments", [])), np.asarray(tree.get("categories_sizes", []))
    nodes, stored = np.asarray(tree.get("categories_nodes", [])), len(tree.get("categories", []))
    _require(len(starts) == len(sizes) == len(nodes), "categories")
    _require(bool(np.all((starts >= 0) & (sizes >= 0) & (starts + sizes <= stored))), "categories")
    _require(bool(np.all((nodes >= 0) & (nodes < count))), "categories")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise LoadFailed(
            f"the {what} of an XGBoost model are inconsistent: the file is damaged or was crafted",
            hint="Save the booster again with save_model.",
        )
