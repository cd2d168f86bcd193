"""How a fitted estimator answers: one call of the model where one is enough, two where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Output
from foretell.core.values import Outputs
from foretell.runtimes.sklearn.shortcuts import without_checks
from foretell.runtimes.sklearn.signature import labels_of

# Classifiers whose ``predict`` *is* the argmax of ``predict_proba``, ties included (read in scikit-learn 1.9).
LITERAL = frozenset(
    {"DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier"}
    | {"BaggingClassifier", "CalibratedClassifierCV"}
)

# Classifiers whose probabilities rise with the score that ``predict`` compares: the same class, but for rows whose best
# two probabilities rounding could have swapped or made equal. Those rows are given to ``predict`` too.
MONOTONE = frozenset(
    {"LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "MLPClassifier"}
    | {"GradientBoostingClassifier", "HistGradientBoostingClassifier"}
    | {"GaussianNB", "BernoulliNB", "MultinomialNB", "ComplementNB", "CategoricalNB"}
    | {"LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis", "KNeighborsClassifier"}
)
MARGIN = 1e-9

# Rows of which no value exceeds 1e12 stay finite on their way through scalers and casts to float32.
_CALM = 1e24

_Method = Callable[[Any], Any]


class Predictor:
    """Answers for one estimator. Safe in several threads: nothing is kept between calls."""

    def __init__(self, estimator: Any, output: Output) -> None:
        self._output = output
        transforms, last = _steps(estimator)
        self._predict: _Method = _chain(transforms, last.predict)
        self._answer: _Method = self._values
        if output.kind == "classification" and output.classes is not None:
            self._labels = np.asarray(getattr(estimator, "classes_", output.classes))
            self._sorted = bool(np.all(self._labels[:-1] < self._labels[1:]))
            self._places = {label: index for index, label in enumerate(labels_of(self._labels))}
            self._answer = self._indices
            if output.probabilities:
                self._probabilities: _Method = _chain(transforms, last.predict_proba)
                kind = type(last).__name__
                known = type(last).__module__.startswith("sklearn.")
                self._margin = MARGIN if known and kind in MONOTONE else 0.0
                self._answer = self._at_once if known and kind in LITERAL | MONOTONE else self._twice

    def __call__(self, rows: Any) -> Outputs:
        """Outputs for all rows, in order; exactly what the estimator itself answers, without numpy's warnings."""
        with np.errstate(all="ignore"):
            return self._answered(rows)

    def _answered(self, rows: Any) -> Outputs:
        if type(rows) is np.ndarray and rows.dtype == np.float64:
            flat = rows.reshape(-1)
            if flat.dot(flat) < _CALM:
                outputs: Outputs = without_checks(self._answer, rows)
                if _finite(outputs):
                    return outputs
        # A missing, huge or textual value: scikit-learn looks for itself, and says what it does not take.
        checked: Outputs = self._answer(rows)
        return checked

    def _values(self, rows: Any) -> Outputs:
        values = np.asarray(self._predict(rows))
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if self._output.kind == "regression":
            values = values.astype(np.float64, copy=False)
        return Outputs(self._output, values=values)

    def _indices(self, rows: Any) -> Outputs:
        return Outputs(self._output, indices=self._places_of(self._predict(rows)))

    def _twice(self, rows: Any) -> Outputs:
        indices = self._places_of(self._predict(rows))
        return Outputs(self._output, indices=indices, probabilities=self._probabilities(rows))

    def _at_once(self, rows: Any) -> Outputs:
        probabilities = self._probabilities(rows)
        indices = probabilities.argmax(axis=1)
        if self._margin and self._close(probabilities, indices):
            best = probabilities.max(axis=1, keepdims=True)
            close = np.flatnonzero((probabilities >= best - self._margin).sum(axis=1) > 1)
            indices[close] = self._places_of(self._predict(rows))[close]
        return Outputs(self._output, indices=indices, probabilities=probabilities)

    def _close(self, probabilities: NDArray[Any], indices: NDArray[Any]) -> bool:
        """Whether some row's best two probabilities are within the margin of each other."""
        best = probabilities[np.arange(len(indices)), indices]
        return int(np.count_nonzero(best - self._margin <= probabilities.T)) > len(indices)

    def _places_of(self, labels: Any) -> NDArray[np.intp]:
        found = np.asarray(labels).reshape(-1)
        if self._sorted:
            return np.searchsorted(self._labels, found)
        return np.array([self._places[label] for label in found.tolist()], dtype=np.intp)


def _finite(outputs: Outputs) -> bool:
    numbers = outputs.probabilities if outputs.probabilities is not None else outputs.values
    if numbers is None or numbers.dtype.kind != "f":
        return True
    total = numbers.sum()
    return bool(total - total == 0)


def _steps(estimator: Any) -> tuple[list[_Method], Any]:
    """The transforms before the last step, pipelines and searches unrolled, and the last step."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
    from sklearn.pipeline import Pipeline

    if type(estimator) in (GridSearchCV, RandomizedSearchCV) and hasattr(estimator, "best_estimator_"):
        return _steps(estimator.best_estimator_)
    if type(estimator) is not Pipeline:
        return [], estimator
    transforms = [step.transform for _name, step in estimator.steps[:-1] if step not in (None, "passthrough")]
    inner, last = _steps(estimator.steps[-1][1])
    return [*transforms, *inner], last


def _chain(transforms: list[_Method], last: _Method) -> _Method:
    if not transforms:
        return last

    def call(rows: Any) -> Any:
        for transform in transforms:
            rows = transform(rows)
        return last(rows)

    return call
