"""Objects that neither skops nor ONNX can store: the pickle itself is kept, to be served hosted."""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foretell.core.signature import Output, Signature
from foretell.errors import NotStorable, PackagingError
from foretell.packaging.columns import describe_columns
from foretell.packaging.equality import RTOL_DOUBLE, RTOL_SINGLE, Answers
from foretell.packaging.estimators import Estimator
from foretell.packaging.python_file import check_files
from foretell.packaging.sample import Sample
from foretell.runtimes.pickle import feed_of
from foretell.runtimes.sklearn.signature import labels_of


@dataclass(frozen=True)
class PickleFile:
    """A pickle whose bytes are to be kept, with the object that was in it."""

    path: Path
    model: Any


@dataclass(frozen=True)
class Stored:
    """How the object is stored: as the file that was given, else pickled; with the files it needs beside it."""

    given: Path | None
    files: Sequence[Path]

    def write(self, model: Any, folder: Path, title: str) -> Path:
        """The artifact in the folder. Raises NotStorable."""
        for file in self.files:
            shutil.copyfile(file, folder / file.name)
        if self.given is not None:
            path = folder / f"model{self.given.suffix.lower() or '.pkl'}"
            shutil.copyfile(self.given, path)
            return path
        path = folder / "model.pkl"
        try:
            path.write_bytes(pickle.dumps(model, protocol=5))
        except Exception as error:  # whatever its parts raise when they are asked to pickle themselves
            raise NotStorable(
                f"{title} cannot be pickled: {type(error).__name__}: {str(error)[:300]}",
                hint="serve it as a class in model.py: docs/how-to/python-models.md",
            ) from error
        return path


class PickledEstimator(Estimator):
    """An estimator with scikit-learn's interface."""

    def __init__(self, model: Any, stored: Stored) -> None:
        super().__init__(model)
        self._stored = stored

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        return self._stored.write(self.model, folder, self.title)


class PickledObject:
    """Any object with ``predict``, and perhaps ``classes_`` and ``predict_proba``."""

    tells_when_written = False
    names: Sequence[str] | None = None
    width: int | None = None
    distributions: Sequence[str] = ("numpy", "pandas")
    rtol = RTOL_DOUBLE
    golden_rtol = RTOL_SINGLE  # what it computes in is its own matter

    def __init__(self, model: Any, stored: Stored) -> None:
        self.model = model
        self._stored = stored
        if isinstance(model, type) or not callable(getattr(model, "predict", None)):
            raise NotStorable(f"{self.title} has no predict method to be called, so there is nothing to serve")

    @property
    def title(self) -> str:
        return type(self.model).__name__

    def answers(self, _example: Any, sample: Sample) -> Answers | None:
        """Asked as it will be when it is served: numbers as one array, mixed columns as a data frame."""
        signature = Signature(describe_columns(sample, {}))
        rows = feed_of(signature)(sample.inputs(signature))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it warns of concerns its author's rows
                predictions = np.asarray(self.model.predict(rows))
                probable = hasattr(self.model, "predict_proba") and hasattr(self.model, "classes_")
                probabilities = np.asarray(self.model.predict_proba(rows)) if probable else None
        except Exception as error:  # the author's own object and data
            raise PackagingError(
                f"{self.title} itself fails on the example: {type(error).__name__}: {str(error)[:500]}",
                hint="it gets numbers as one array and mixed columns as a data frame; where it wants them otherwise, "
                "serve it from a model.py",
            ) from error
        return Answers(predictions, probabilities)

    def output(self, answers: Answers | None) -> Output | None:
        if answers is None:
            return None
        predictions = answers.predictions
        several = predictions.ndim > 1 and predictions.shape[1] > 1
        names = tuple(f"y{index}" for index in range(predictions.shape[1])) if several else ()
        if hasattr(self.model, "classes_") and not several:
            classes = tuple(labels_of(np.asarray(self.model.classes_)))
            return Output("classification", classes=classes, probabilities=answers.probabilities is not None)
        return Output("regression" if predictions.dtype.kind == "f" else "classification", names=names)

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        return self._stored.write(self.model, folder, self.title)


def pickled(model: Any, files: Sequence[Path]) -> PickledEstimator | PickledObject:
    """The subject of an object that is kept as a pickle. Raises PackagingError where it cannot be served."""
    check_files(files)
    stored = Stored(model.path if isinstance(model, PickleFile) else None, files)
    instance = model.model if isinstance(model, PickleFile) else model
    if hasattr(instance, "__sklearn_tags__") and not isinstance(instance, type):
        return PickledEstimator(instance, stored)
    return PickledObject(instance, stored)
