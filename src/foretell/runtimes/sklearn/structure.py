"""Contents that compiled code trusts: child, feature and point indices, and shapes that must agree.

skops vouches for types, not for contents, and scikit-learn's compiled predictors follow indices without looking
(scikit-learn pull request 34558): a crafted file could crash the process at its first prediction. ``check_structure``
holds, once at load, what the compiled code takes for granted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from foretell.errors import LoadFailed
from foretell.runtimes.sklearn.parts import parts_of

_TREE_LEAF = -1


def check_structure(estimator: Any) -> None:
    """Raises LoadFailed where an index or a shape inside the estimator leaves its bounds."""
    parts = list(parts_of(estimator))
    for checks in (_CHECKS, _CHECKS_BY_CALLING):
        for part, holder in reversed(parts):
            for cls in type(part).__mro__:
                check = checks.get(f"{cls.__module__}.{cls.__name__}")
                if check is not None:
                    check(part, holder)
    for part, _holder in parts:
        if hasattr(part, "cluster_centers_"):
            _require(np.shape(part.cluster_centers_)[1:] == (part.n_features_in_,), part, "cluster centres")


def check_headers(path: Path) -> None:
    """What has to be known before a tree is built: that its list of class counts is as long as it says.

    Building a tree reads that many counts from the list, whatever its length. The nodes are skops' own, so that what
    is checked is what will be built; nothing but the list is. Raises LoadFailed, or what a damaged archive raises.
    """
    with ZipFile(path) as archive:
        if b'"TreeNode"' not in archive.read("schema.json"):
            return
        from skops.io._audit import get_tree
        from skops.io._sklearn import TreeNode
        from skops.io._utils import read_schema

        schema, context = read_schema(archive)
        waiting, seen = [get_tree(schema, context, trusted=[])], set()
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, TreeNode):
                _check_header(node)
            for child in getattr(node, "children", {}).values():
                listed = child.values() if isinstance(child, dict) else child if isinstance(child, list) else [child]
                waiting.extend(item for item in listed if hasattr(item, "children"))
            if hasattr(node, "cached"):
                waiting.append(node.cached)


def _check_header(node: Any) -> None:
    arguments = node.args.children.get("content", [])
    kinds = [type(argument).__name__ for argument in arguments]
    _require(kinds == ["JsonNode", "NdArrayNode", "JsonNode"], "Tree", "class counts")
    counts, outputs = arguments[1].construct(), arguments[2].construct()
    _require(type(counts) is np.ndarray and counts.shape == (outputs,) and counts.size > 0, "Tree", "class counts")


def _require(holds: bool, part: Any, what: str) -> None:
    if not holds:
        kind = part if isinstance(part, str) else type(part).__name__
        raise LoadFailed(
            f"the {what} of a {kind} are inconsistent: the file is damaged or was crafted",
            hint="Write the file again from the fitted estimator.",
        )


def _check_tree(tree: Any, holder: Any) -> None:
    nodes = tree.__getstate__()["nodes"]
    count = len(nodes)
    left, right = nodes["left_child"], nodes["right_child"]
    inner = np.flatnonzero(left != _TREE_LEAF)
    _require(count > 0 and tree.node_count == count, tree, "node counts")
    for children in (left[inner], right[inner]):
        _require(bool(np.all((children > inner) & (children < count))), tree, "child indices")
    features = nodes["feature"][inner]
    _require(bool(np.all((features >= 0) & (features < tree.n_features))), tree, "feature indices")
    _require(getattr(holder, "n_features_in_", None) == tree.n_features, tree, "feature counts")


def _check_gradient_boosting(model: Any, _holder: Any) -> None:
    stages, features = model.estimators_, model.n_features_in_
    _require(isinstance(stages, np.ndarray) and stages.ndim == 2, model, "stages")
    for stage in stages.flat:
        _require(type(stage).__name__ == "DecisionTreeRegressor", model, "stages")
        _require(type(stage.tree_).__name__ == "Tree", model, "stages")
        _require(stage.tree_.n_features == features and stage.tree_.value.shape[1:] == (1, 1), model, "stages")
    raw = model._raw_predict_init(np.zeros((1, features), dtype=np.float32))
    _require(raw.shape == (1, stages.shape[1]), model, "stages")


def _check_hist_gradient_boosting(model: Any, _holder: Any) -> None:
    bins, features = model._bin_mapper, model._n_features
    categorical = np.asarray(bins.is_categorical_, dtype=bool)
    _require(len(categorical) == features and len(bins.bin_thresholds_) == features, model, "bins")
    _require(features == model.n_features_in_, model, "feature counts")
    thresholds = [bins.bin_thresholds_[index] for index in np.flatnonzero(categorical)]
    _require(all(np.all((known >= 0) & (known < 256)) for known in thresholds), model, "categories")
    for predictors in model._predictors:
        for predictor in predictors:
            _require(type(predictor).__name__ == "TreePredictor", model, "predictors")
            _check_predictor(predictor, categorical)


def _check_predictor(predictor: Any, categorical: np.ndarray[Any, Any]) -> None:
    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _require(nodes.ndim == 1 and len(nodes) > 0, predictor, "nodes")
    for side in ("left", "right"):
        children = nodes[side][inner].astype(np.int64)
        _require(bool(np.all((children > inner) & (children < len(nodes)))), predictor, "child indices")
    features = nodes["feature_idx"][inner]
    _require(bool(np.all((features >= 0) & (features < len(categorical)))), predictor, "feature indices")
    splits = inner[nodes["is_categorical"][inner] != 0]
    _require(bool(np.all(categorical[nodes["feature_idx"][splits]])), predictor, "categorical splits")
    _require(len(splits) == 0 or bitsets.shape[1:] == (8,), predictor, "bitsets")
    _require(bool(np.all(nodes["bitset_idx"][splits] < len(bitsets))), predictor, "bitset indices")


def _check_neighbour_tree(tree: Any, holder: Any) -> None:
    data, points, nodes, bounds, _leaf_size, levels, count, *_rest, metric, weights = tree.__getstate__()
    rows, columns = data.shape
    _require(len(points) == rows and _within(points, rows), tree, "point indices")
    _require(count == len(nodes) == 2**levels - 1, tree, "node counts")
    sides = 2 if type(tree).__name__.startswith("KDTree") else 1
    _require(bounds.shape == (sides, count, columns), tree, "node bounds")
    start, end = nodes["idx_start"], nodes["idx_end"]
    _require(bool(np.all((start >= 0) & (start <= end) & (end <= rows))), tree, "node ranges")
    last = np.arange(count) * 2 + 2 >= count
    _require(bool(np.all(nodes["is_leaf"][last] != 0)), tree, "leaves")
    _require(weights is None or len(weights) == rows, tree, "weights")
    if type(metric).__name__.startswith("Minkowski"):
        _require(np.size(metric.__getstate__()[1]) in (0, 1, columns), tree, "distance weights")
    _require(getattr(holder, "n_features_in_", columns) == columns, tree, "feature counts")


def _check_neighbours(model: Any, _holder: Any) -> None:
    rows = np.shape(model._fit_X)
    _require(rows[1:] == (model.n_features_in_,), model, "points")
    tree = getattr(model, "_tree", None)
    _require(tree is None or len(tree.__getstate__()[0]) == rows[0], model, "points")
    if not hasattr(model, "classes_"):
        return
    labels = np.asarray(model._y)
    classes = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    columns = labels.T if labels.ndim == 2 else [labels]
    _require(len(labels) == rows[0] and len(columns) == len(classes), model, "labels")
    for column, known in zip(columns, classes, strict=True):
        _require(_within(column, len(known)), model, "labels")


def _check_libsvm(model: Any, _holder: Any) -> None:
    vectors, coefficients = model.support_vectors_, model._dual_coef_
    _require(not model._sparse, model, "support vectors of a model trained on sparse features")
    _require(vectors.ndim == 2, model, "support vectors")
    count = len(model.support_)
    groups = np.asarray(model._n_support)
    classifies = hasattr(model, "classes_")
    sides = len(model.classes_) if classifies else 2
    pairs = sides * (sides - 1) // 2
    _require(bool(np.all(groups >= 0)) and groups.shape == (sides,), model, "groups")
    _require(not classifies or int(groups.sum()) == count, model, "support vectors")
    _require(coefficients.shape == (sides - 1, count), model, "coefficients")
    _require(np.size(model._intercept_) == pairs, model, "intercepts")
    for pair in (model._probA, model._probB):
        _require(np.size(pair) in (0, pairs), model, "probability parameters")
    if model.kernel == "precomputed":
        _require(_within(model.support_, model.n_features_in_), model, "support indices")
    else:
        _require(vectors.shape == (count, model.n_features_in_), model, "support vectors")


def _check_text(vectorizer: Any, _holder: Any) -> None:
    _require(vectorizer.input == "content", vectorizer, "settings (reading files named by callers)")


def _within(indices: Any, stop: int) -> bool:
    found = np.asarray(indices)
    return found.size == 0 or bool(found.dtype.kind in "iu" and found.min() >= 0 and found.max() < stop)


_HIST = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting"
# These call the model's own parts to learn a shape, and come when those are known to be sound.
_CHECKS_BY_CALLING: dict[str, Callable[[Any, Any], None]] = {
    "sklearn.ensemble._gb.BaseGradientBoosting": _check_gradient_boosting,
}
_CHECKS: dict[str, Callable[[Any, Any], None]] = {
    "sklearn.tree._tree.Tree": _check_tree,
    _HIST: _check_hist_gradient_boosting,
    "sklearn.neighbors._kd_tree.BinaryTree64": _check_neighbour_tree,
    "sklearn.neighbors._kd_tree.BinaryTree32": _check_neighbour_tree,
    "sklearn.neighbors._ball_tree.BinaryTree64": _check_neighbour_tree,
    "sklearn.neighbors._ball_tree.BinaryTree32": _check_neighbour_tree,
    "sklearn.neighbors._base.NeighborsBase": _check_neighbours,
    "sklearn.svm._base.BaseLibSVM": _check_libsvm,
    "sklearn.feature_extraction.text._VectorizerMixin": _check_text,
}
