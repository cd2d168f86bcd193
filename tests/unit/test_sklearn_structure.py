"""Crafted scikit-learn files are refused when they are loaded, not when they crash the process."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from foretell.errors import LoadFailed, UntrustedArtifact
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.sklearn import runtime
from foretell.runtimes.sklearn.structure import check_structure
from tests import zoo

Craft = Callable[[Any], None]


def fitted(estimator: Any, y: Any = None) -> Any:
    X, labels = zoo.iris()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, labels if y is None else y)


def load(estimator: Any, folder: Path) -> Any:
    path = folder / "model.skops"
    skops.io.dump(estimator, path)
    return runtime.load(path, None, LoadOptions())


def with_nodes(tree: Any, **changes: Any) -> Any:
    """The tree with some fields of its root node changed."""
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for field, value in changes.items():
        nodes[field][0] = value
    state["nodes"] = nodes
    made = type(tree)(tree.n_features, tree.n_classes, tree.n_outputs)
    made.__setstate__(state)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"left_child": 10**6},
        {"right_child": 10**6},
        {"left_child": 0},
        {"feature": 4},
        {"feature": -5},
        {"right_child": -3},
    ],
    ids=str,
)
@pytest.mark.parametrize("forest", [False, True])
def test_a_tree_that_points_outside_is_refused(changes: dict[str, int], forest: bool, tmp_path: Path) -> None:
    model = fitted(RandomForestClassifier(2, random_state=0) if forest else DecisionTreeClassifier())
    holder = model.estimators_[1] if forest else model
    holder.tree_ = with_nodes(holder.tree_, **changes)
    with pytest.raises(LoadFailed, match="of a Tree are inconsistent"):
        load(model, tmp_path)


def test_a_tree_wider_than_its_estimator_is_refused(tmp_path: Path) -> None:
    model, wide = fitted(DecisionTreeClassifier()), DecisionTreeClassifier().fit(np.eye(9), range(9))
    model.tree_ = wide.tree_
    with pytest.raises(LoadFailed, match="feature counts"):
        load(model, tmp_path)


def test_a_tree_header_that_lies_about_its_counts_is_refused_before_it_is_built(tmp_path: Path) -> None:
    content = skops.io.dumps(fitted(DecisionTreeClassifier()))
    crafted = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(crafted, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "schema.json":
                schema = json.loads(data)
                outputs = schema["content"]["content"]["tree_"]["__reduce__"]["args"]["content"][2]
                outputs |= {"content": "100000000", "__id__": 1}
                data = json.dumps(schema).encode()
            after.writestr(name, data)
    path = tmp_path / "model.skops"
    path.write_bytes(crafted.getvalue())
    with pytest.raises(LoadFailed, match="class counts of a Tree"):
        runtime.load(path, None, LoadOptions())


def _foreign_stage(model: Any) -> None:
    model.estimators_[0, 0] = fitted(DecisionTreeClassifier())


def _too_many_stages(model: Any) -> None:
    model.estimators_ = np.hstack([model.estimators_, model.estimators_])


def _narrower_stage(model: Any) -> None:
    from sklearn.tree import DecisionTreeRegressor

    X, y = zoo.iris()
    model.estimators_[0, 0] = DecisionTreeRegressor().fit(np.hstack([X, X]), y)


@pytest.mark.parametrize("craft", [_foreign_stage, _too_many_stages, _narrower_stage])
def test_boosting_stages_that_do_not_fit_are_refused(craft: Craft, tmp_path: Path) -> None:
    model = fitted(GradientBoostingClassifier(n_estimators=2))
    craft(model)
    with pytest.raises(LoadFailed, match="stages"):
        load(model, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("left", 999), ("right", 999), ("left", 0), ("feature_idx", 4), ("feature_idx", -1)]
)
def test_a_histogram_predictor_that_points_outside_is_refused(field: str, value: int, tmp_path: Path) -> None:
    model = fitted(HistGradientBoostingClassifier(max_iter=2))
    model._predictors[0][0].nodes[field][0] = value
    with pytest.raises(LoadFailed, match="of a TreePredictor are inconsistent"):
        load(model, tmp_path)


def test_a_categorical_split_on_a_number_is_refused(tmp_path: Path) -> None:
    model = fitted(HistGradientBoostingClassifier(max_iter=2))
    model._predictors[0][0].nodes["is_categorical"][0] = 1
    with pytest.raises(LoadFailed, match="categorical splits"):
        load(model, tmp_path)


def test_a_bitset_that_is_not_there_is_refused() -> None:
    X, y = zoo.iris()
    X = X.copy()
    X[:, 0] = y
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(X, y)
    check_structure(model)
    predictor = next(p for stage in model._predictors for p in stage if p.nodes["is_categorical"].any())
    predictor.nodes["bitset_idx"][np.flatnonzero(predictor.nodes["is_categorical"])[0]] = 77
    with pytest.raises(LoadFailed, match="bitset indices"):
        check_structure(model)


def _neighbour_state(model: Any, place: int, change: Craft) -> None:
    state = list(model._tree.__getstate__())
    array = np.array(state[place])
    change(array)
    state[place] = array
    kind: Any = type(model._tree)
    tree = kind.__new__(kind, np.array(state[0]))
    tree.__setstate__(tuple(state))
    model._tree = tree


def _point(array: Any) -> None:
    array[0] = 10**7


def _range(array: Any) -> None:
    array["idx_end"][0] = 10**7


def _leaf(array: Any) -> None:
    array["is_leaf"][-1] = 0


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize(("place", "change"), [(1, _point), (2, _range), (2, _leaf)])
def test_a_neighbour_tree_that_points_outside_is_refused(
    algorithm: str, place: int, change: Craft, tmp_path: Path
) -> None:
    model = fitted(KNeighborsClassifier(algorithm=algorithm))
    _neighbour_state(model, place, change)
    with pytest.raises(LoadFailed, match="inconsistent"):
        load(model, tmp_path)


def test_neighbour_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    model = fitted(KNeighborsClassifier(algorithm="brute"))
    model._y = model._y.copy()
    model._y[3] = 400
    with pytest.raises(LoadFailed, match="labels"):
        load(model, tmp_path)


@pytest.mark.parametrize(
    ("attribute", "change"),
    [
        ("_n_support", lambda a: a + 100),
        ("_dual_coef_", lambda a: a[:, :-1]),
        ("_intercept_", lambda a: a[:1]),
        ("support_vectors_", lambda a: a[:, :2]),
        ("_probA", lambda a: np.zeros(1)),
    ],
)
def test_support_vectors_that_do_not_fit_together_are_refused(attribute: str, change: Any, tmp_path: Path) -> None:
    model = fitted(SVC())
    setattr(model, attribute, change(np.asarray(getattr(model, attribute))))
    with pytest.raises(LoadFailed, match="of a SVC are inconsistent"):
        load(model, tmp_path)


def test_a_sound_support_vector_regressor_loads(tmp_path: Path) -> None:
    assert load(fitted(SVR()), tmp_path).model_type == "SVR"


def test_precomputed_kernels_are_held_to_their_rows() -> None:
    X, y = zoo.iris()
    model = SVC(kernel="precomputed").fit(X @ X.T, y)
    check_structure(model)
    model.support_ = model.support_ + 1000
    with pytest.raises(LoadFailed, match="support indices"):
        check_structure(model)


def test_a_vectoriser_that_reads_files_named_by_callers_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good", "bad", "good day"], [1, 0, 1])
    model[0].input = "filename"
    with pytest.raises(LoadFailed, match="files named by callers"):
        load(model, tmp_path)


def test_narrow_cluster_centres_are_refused(tmp_path: Path) -> None:
    model = copy.deepcopy(zoo.specimen("sklearn-clusters").estimator)
    model.cluster_centers_ = model.cluster_centers_[:, :2].copy()
    with pytest.raises(LoadFailed, match="cluster centres"):
        load(model, tmp_path)


class Outsider:
    """A type nobody has reviewed."""


def test_a_type_that_is_not_on_the_list_is_named(tmp_path: Path) -> None:
    model = fitted(LogisticRegression())
    model.extra_ = Outsider()
    with pytest.raises(UntrustedArtifact, match=r"Outsider"):
        load(model, tmp_path)
