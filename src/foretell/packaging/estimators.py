"""Fitted estimators with scikit-learn's interface: scikit-learn's own, and the wrappers of XGBoost and LightGBM."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foretell.core.signature import Output, Signature
from foretell.errors import MissingLibrary, NotStorable, PackagingError
from foretell.packaging.equality import RTOL_DOUBLE, RTOL_SINGLE, Answers
from foretell.packaging.frames import frame_of
from foretell.packaging.reading import is_frame
from foretell.packaging.sample import Sample
from foretell.runtimes.sklearn.signature import output_of

ONNX_HINT = (
    "ONNX may hold it: --convert onnx (format='onnx' in Python); or keep the pickle, which is served in a process of "
    "its own where the settings allow it by name: --keep-pickle (format='pickle')"
)
_MADE_UP = ("Column_", "f")


class Estimator:
    """A fitted estimator. The artifact depends on the family: skops, or the booster's own format."""

    tells_when_written = False
    golden_rtol = RTOL_DOUBLE
    text_dtype = "str"

    def __init__(self, model: Any) -> None:
        if isinstance(model, type):
            raise PackagingError(
                f"{model.__name__} is a class, not a fitted estimator",
                hint=f"give an instance: {model.__name__}().fit(X, y)",
            )
        if not hasattr(model, "predict"):
            raise NotStorable(f"{self._title(model)} has no predict method, so there is nothing to serve")
        if not hasattr(model, "__sklearn_tags__"):
            raise NotStorable(
                f"{self._title(model)} is no scikit-learn estimator, and only those are stored", hint=ONNX_HINT
            )
        self.model = model
        self._refuse_unfitted()

    @property
    def title(self) -> str:
        return self._title(self.model)

    @property
    def names(self) -> Sequence[str] | None:
        names = getattr(self.model, "feature_names_in_", None)
        if names is None or all(_made_up(str(name), i) for i, name in enumerate(names)):
            return None
        return [str(name) for name in names]

    @property
    def width(self) -> int | None:
        width = getattr(self.model, "n_features_in_", None)
        return None if width is None else int(width)

    @property
    def distributions(self) -> Sequence[str]:
        return ("scikit-learn", "skops", "numpy", "scipy", "joblib")

    @property
    def rtol(self) -> float:
        return RTOL_DOUBLE

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        try:
            import skops.io
        except ImportError as error:
            raise MissingLibrary(
                "skops, which stores scikit-learn models, is not installed: pip install 'foretell[sklearn]'"
            ) from error
        path = folder / "model.skops"
        try:
            skops.io.dump(self.model, path)
        except Exception as error:
            # skops raises whatever it meets inside an object it cannot take apart
            raise NotStorable(f"skops cannot store {self.title}: {error}", hint=ONNX_HINT) from error
        return path

    def output(self, answers: Answers | None) -> Output | None:
        return None if answers is None else describe_output(self.model, answers)

    def answers(self, example: Any, sample: Sample) -> Answers | None:
        rows = self._native(example, sample)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it warns of concerns its author's rows, not what is written
                predictions = np.asarray(self.model.predict(rows))
                several = predictions.ndim > 1 and predictions.shape[1] > 1
                probable = not several and hasattr(self.model, "predict_proba")
                probabilities = np.asarray(self.model.predict_proba(rows)) if probable else None
        except Exception as error:
            # the author's own model and data: whatever it raises is the answer to «why does it not package»
            raise PackagingError(
                f"{self.title} itself fails on the example: {type(error).__name__}: {str(error)[:500]}",
                hint="give as example the same columns, with the same types, that the model was fitted on",
            ) from error
        return Answers(predictions, probabilities)

    def _native(self, example: Any, sample: Sample) -> Any:
        """The rows as the estimator was fitted on them: the author's own object, else a frame or an array."""
        framed = self.names is not None or not all(column.type.numeric for column in sample.columns)
        if example is not None and is_frame(example) == framed:
            return example
        if framed:
            return frame_of(sample, self.text_dtype)
        return np.column_stack([column.values.astype(np.float64) for column in sample.columns])

    def _refuse_unfitted(self) -> None:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_is_fitted(self.model)
        except NotFittedError:
            raise PackagingError(f"{self.title} is not fitted", hint="call fit(X, y) before packaging") from None

    @staticmethod
    def _title(model: Any) -> str:
        steps = getattr(model, "steps", None)
        last = type(steps[-1][1]).__name__ if isinstance(steps, list) and steps else None
        return f"{type(model).__name__} of {last}" if last else type(model).__name__


class XGBoostEstimator(Estimator):
    """A wrapper such as XGBClassifier: its booster is stored, cut to the trees that ``predict`` uses."""

    golden_rtol = RTOL_SINGLE
    text_dtype = "category"

    @property
    def distributions(self) -> Sequence[str]:
        return ("xgboost", "numpy", "scikit-learn")

    @property
    def rtol(self) -> float:
        return RTOL_SINGLE

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        booster = self.model.get_booster()
        best = (
            getattr(self.model, "best_iteration", None) if getattr(self.model, "early_stopping_rounds", None) else None
        )
        path = folder / "model.ubj"
        (booster if best is None else booster[: best + 1]).save_model(path)
        return path


class LightGBMEstimator(Estimator):
    """A wrapper such as LGBMClassifier: its booster is stored, up to the best iteration."""

    text_dtype = "category"

    @property
    def distributions(self) -> Sequence[str]:
        return ("lightgbm", "numpy", "scikit-learn")

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        path = folder / "model.txt"
        self.model.booster_.save_model(path)
        return path


def describe_output(model: Any, answers: Answers) -> Output:
    """What an estimator gives, by its own attributes; by what it answered where that says several values a row."""
    output = output_of(model)
    predictions = answers.predictions
    if predictions.ndim > 1 and predictions.shape[1] > 1 and not output.several:
        return Output(output.kind, names=tuple(f"y{i}" for i in range(predictions.shape[1])))
    strange = [label for label in output.classes or () if not isinstance(label, str | int | float)]
    if strange:
        kind = type(strange[0]).__name__
        raise PackagingError(f"class {strange[0]!r} is a {kind}; classes must be texts, numbers or booleans")
    return output


def _made_up(name: str, position: int) -> bool:
    return any(name == f"{prefix}{position}" for prefix in _MADE_UP)
