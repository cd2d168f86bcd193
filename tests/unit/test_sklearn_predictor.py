"""One call of the model gives what two give; the shortcuts give what scikit-learn gives."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.utils.validation import check_array

from foretell.core.signature import Output, Signature
from foretell.core.values import Matrix
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.sklearn import runtime
from foretell.runtimes.sklearn.predictor import LITERAL, MARGIN, MONOTONE, Predictor
from foretell.runtimes.sklearn.shortcuts import _checked_array, install, without_checks
from foretell.runtimes.sklearn.signature import output_of
from tests import zoo

REVIEWED: dict[str, Any] = {
    "DecisionTreeClassifier": DecisionTreeClassifier(max_depth=2),
    "ExtraTreeClassifier": ExtraTreeClassifier(max_depth=3, random_state=1),
    "RandomForestClassifier": RandomForestClassifier(4, max_depth=2, random_state=0),
    "ExtraTreesClassifier": ExtraTreesClassifier(4, max_depth=2, random_state=0),
    "BaggingClassifier": BaggingClassifier(n_estimators=4, random_state=0),
    "CalibratedClassifierCV": CalibratedClassifierCV(GaussianNB(), cv=2),
    "LogisticRegression": LogisticRegression(),
    "LogisticRegressionCV": LogisticRegressionCV(Cs=2, cv=2, max_iter=300),
    "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
    "MLPClassifier": MLPClassifier((4,), max_iter=60, random_state=0),
    "GradientBoostingClassifier": GradientBoostingClassifier(n_estimators=3),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(max_iter=3),
    "GaussianNB": GaussianNB(),
    "BernoulliNB": BernoulliNB(binarize=3.0),
    "MultinomialNB": MultinomialNB(),
    "ComplementNB": ComplementNB(),
    "CategoricalNB": CategoricalNB(min_categories=20),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(),
    "KNeighborsClassifier": KNeighborsClassifier(4),
}


@cache
def rows() -> Any:
    """Iris, whole numbers of it, and rows far out and close together, where classes tie."""
    X, _ = zoo.iris()
    rng = np.random.default_rng(3)
    return np.abs(np.vstack([X, np.round(X), rng.uniform(0, 9, (600, 4)), np.zeros((1, 4)), X[:3] * 1.9]))


@cache
def fitted(name: str, binary: bool, whole: bool) -> Any:
    X, y = zoo.iris()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(REVIEWED[name]).fit(np.round(X) if whole else X, (y == 1).astype(int) if binary else y)


def test_every_reviewed_classifier_is_tried_here() -> None:
    assert set(REVIEWED) == LITERAL | MONOTONE


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "three classes"])
@pytest.mark.parametrize("name", sorted(REVIEWED))
def test_one_call_gives_the_class_that_predict_gives(name: str, binary: bool) -> None:
    whole = name == "CategoricalNB"
    model = fitted(name, binary, whole)
    X = np.round(rows()) if whole else rows()
    predictor = Predictor(model, output_of(model))
    assert predictor._answer == predictor._at_once
    outputs = predictor(X)
    assert outputs.listed.predictions == model.predict(X).tolist()
    np.testing.assert_allclose(outputs.probabilities, model.predict_proba(X), rtol=1e-12)  # type: ignore[arg-type]


class Undecided:
    """A classifier of scikit-learn's kind whose ``predict`` prefers the last class where two are equal."""

    classes_ = np.array(["a", "b"])

    def predict_proba(self, X: Any) -> Any:
        return np.array([[0.5, 0.5], [0.9, 0.1]])[: len(X)]

    def predict(self, X: Any) -> Any:
        return np.array(["b", "a"])[: len(X)]


UNDECIDED = Output("classification", classes=("a", "b"), probabilities=True)


def test_where_two_classes_tie_predict_decides() -> None:
    reviewed = type("LogisticRegression", (Undecided,), {"__module__": "sklearn.undecided"})
    predictor = Predictor(reviewed(), UNDECIDED)
    assert predictor._answer == predictor._at_once
    assert predictor(np.ones((2, 1))).listed.predictions == ["b", "a"]
    assert MARGIN > 0


def test_classes_in_another_order_than_sorted_are_found() -> None:
    class Shuffled(Undecided):
        classes_ = np.array(["b", "a"])

    assert Predictor(Shuffled(), UNDECIDED)(np.ones((2, 1))).indices.tolist() == [0, 1]  # type: ignore[union-attr]


def load(estimator: Any, folder: Path, signature: Signature | None = None) -> Any:
    path = folder / "model.skops"
    skops.io.dump(estimator, path)
    return runtime.load(path, signature, LoadOptions())


def test_searches_and_nested_pipelines_answer_as_they_do_themselves(tmp_path: Path) -> None:
    X, y = zoo.iris()
    inner = make_pipeline(MinMaxScaler(), LogisticRegression())
    search = GridSearchCV(make_pipeline(StandardScaler(), "passthrough", inner), {"standardscaler__with_mean": [True]})
    search.fit(X, y)
    model = load(search, tmp_path)
    assert model.model_type == "LogisticRegression"
    assert model.predict(Matrix(X)).listed.predictions == search.predict(X).tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_scikit_learn_refuses_it_still_refuses(value: float, tmp_path: Path) -> None:
    model = load(zoo.specimen("sklearn-forest").estimator, tmp_path)
    logistic = load(zoo.specimen("sklearn-iris-logistic").estimator, tmp_path)
    bad = np.ones((1, 4))
    bad[0, 1] = value
    if np.isinf(value):
        with pytest.raises(ValueError, match="infinity"):
            logistic.predict(Matrix(bad))
    if value == 1e300:
        with pytest.raises(ValueError, match="too large"):
            model.predict(Matrix(bad))
    if np.isnan(value):
        with pytest.raises(ValueError, match="NaN"):
            logistic.predict(Matrix(bad))


def test_an_overflow_on_the_way_is_refused_as_scikit_learn_does(tmp_path: Path) -> None:
    X, y = zoo.iris()
    estimator = make_pipeline(PolynomialFeatures(40), LinearRegression()).fit(X[:60] / 10, y[:60])
    with pytest.raises(ValueError, match="infinity"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(estimator, tmp_path).predict(Matrix(np.full((1, 4), 9e11)))


def test_rows_are_not_written_into_even_where_the_author_allowed_it(tmp_path: Path) -> None:
    X, y = zoo.iris()
    estimator = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(X.copy(), y)
    given = X.copy()
    load(estimator, tmp_path).predict(Matrix(given))
    assert np.array_equal(given, X)


def test_the_callers_own_configuration_is_left_as_it_was(tmp_path: Path) -> None:
    before = get_config()
    model = load(zoo.specimen("sklearn-iris-logistic").estimator, tmp_path)
    model.predict(Matrix(np.ones((1, 4))))
    with pytest.raises(ZeroDivisionError):
        without_checks(lambda rows: 1 / rows, 0)
    assert get_config() == before
    assert without_checks(lambda _rows: get_config()["assume_finite"], None) is True


def test_a_forest_in_one_thread_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    model = load(zoo.specimen("sklearn-forest").estimator, tmp_path)
    before = list(warnings.filters)
    model.predict(Matrix(np.ones((1, 4))))
    assert warnings.filters == before


def test_a_forest_on_several_threads_answers_the_same(tmp_path: Path) -> None:
    specimen = zoo.specimen("sklearn-forest")
    path = specimen.write(tmp_path)
    model = runtime.load(path, None, LoadOptions(threads=2))
    X, _ = zoo.iris()
    assert model.predict(Matrix(X)).listed.predictions == specimen.predict(X).tolist()


ARRAYS = {
    "float64": np.arange(6.0).reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "whole": np.arange(6).reshape(2, 3),
    "flat": np.arange(6.0),
    "empty": np.empty((0, 3)),
    "nan": np.array([[np.nan, 1.0]]),
    "texts": np.array([["a", "b"]], dtype=object),
    "list": [[1.0, 2.0]],
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"copy": True},
        {"dtype": np.float32},
        {"dtype": [np.float64, np.float32]},
        {"dtype": None},
        {"order": "F"},
        {"ensure_all_finite": False},
        {"ensure_all_finite": "allow-nan"},
        {"ensure_min_samples": 3},
        {"force_writeable": True},
        {"ensure_non_negative": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("finite", [True, False], ids=["assumed finite", "checked"])
def test_the_array_shortcut_answers_as_scikit_learn_does(array: Any, options: dict[str, Any], finite: bool) -> None:
    assert install()
    original = check_array.__wrapped__ if hasattr(check_array, "__wrapped__") else check_array
    shortcut = _checked_array(original)

    def outcome(check: Any) -> Any:
        try:
            made = without_checks(lambda rows: check(rows, **options), array) if finite else check(array, **options)
        except ValueError as error:
            return str(error)
        shares = isinstance(array, np.ndarray) and np.shares_memory(made, array)
        return made.dtype, made.flags.f_contiguous, made.flags.writeable, shares, made.tolist().__repr__()

    assert outcome(shortcut) == outcome(original)


TREES = {
    "classifier": DecisionTreeClassifier(max_depth=3),
    "extra classifier": ExtraTreeClassifier(max_depth=3),
    "regressor": DecisionTreeRegressor(max_depth=3),
    "extra regressor": ExtraTreeRegressor(max_depth=3),
}
TREE_ROWS = {
    "right": np.arange(8.0, dtype=np.float32).reshape(2, 4),
    "by columns": np.asfortranarray(np.arange(8.0, dtype=np.float32).reshape(2, 4)),
    "too narrow": np.zeros((2, 3), dtype=np.float32),
    "float64": np.zeros((2, 4)),
    "none": np.empty((0, 4), dtype=np.float32),
}


@pytest.mark.parametrize("rows", TREE_ROWS.values(), ids=TREE_ROWS)
@pytest.mark.parametrize("fitted", ["one output", "two outputs", "not at all"])
@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_tree_asked_by_its_forest_answers_as_scikit_learn_does(tree: Any, fitted: str, rows: Any) -> None:
    assert install()
    tree = clone(tree)
    name = "predict_proba" if is_classifier(tree) else "predict"
    shortcut = getattr(type(tree), name)
    X, y = zoo.iris()
    if fitted != "not at all":
        tree.fit(X, y if fitted == "one output" else np.column_stack([y, y[::-1]]))

    def outcome(ask: Any) -> Any:
        try:
            return np.asarray(ask(tree, rows, check_input=False)).tolist()
        except (ValueError, NotFittedError) as error:
            return type(error), str(error)

    assert outcome(shortcut) == outcome(shortcut.__wrapped__)


def test_on_a_scikit_learn_nobody_has_read_the_shortcuts_stay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn

    monkeypatch.setattr(sklearn, "__version__", "2.0.0")
    assert install() is False
