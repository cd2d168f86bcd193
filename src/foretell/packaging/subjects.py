"""Which kind of subject an object or a path is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from foretell.core.identity import closest
from foretell.errors import NotStorable, PackagingError, PathMissing, UnrecognisedArtifact, UntrustedArtifact
from foretell.packaging.array_subject import TrustedFile, array_file, torch_object
from foretell.packaging.boosters import LightGBMBooster, XGBoostBooster
from foretell.packaging.conversion import Converted
from foretell.packaging.estimators import Estimator, LightGBMEstimator, XGBoostEstimator
from foretell.packaging.keras import is_tensorflow, keras_file, keras_object
from foretell.packaging.pickled import PickleFile, pickled
from foretell.packaging.python_file import PythonFile
from foretell.packaging.stored import StoredModel
from foretell.packaging.subject import Subject
from foretell.runtimes.base import Recognition, Runtime, Trust

Format = Literal["auto", "skops", "onnx", "xgboost", "lightgbm", "pickle"]
FORMATS: tuple[str, ...] = get_args(Format)

_RUNTIMES = {"skops": "sklearn", "onnx": "onnx", "xgboost": "xgboost", "lightgbm": "lightgbm", "pickle": "pickle"}
_GIVEN = "a fitted scikit-learn, XGBoost or LightGBM model, an ONNX model, or the path of a model file"


class Runtimes(Protocol):
    """Where runtimes are found: the registry."""

    def recognise(self, path: Path) -> Recognition | None: ...

    def get(self, name: str) -> Runtime: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What the order says that concerns the subject: see ``foretell.package``. ``classes`` is whether it names any."""

    format: str
    files: Sequence[Path]
    classes: bool


def subject_of(model: Any, asked: Asked, runtimes: Runtimes) -> tuple[Subject, str]:
    """The subject, and the name of the runtime that will serve it.

    Raises PackagingError where the object is of no known kind, NotStorable where it does not fit the format.
    """
    format, files = asked.format, asked.files
    if format not in FORMATS:
        near = closest(format, FORMATS)
        meant = f"did you mean {near!r}?" if near else f"known are {', '.join(FORMATS)}"
        raise PackagingError(f"there is no format {format!r}", hint=meant)
    subject: Subject
    if isinstance(model, str | os.PathLike):
        subject, runtime = _file(Path(model), asked, runtimes)
    elif isinstance(model, PickleFile) or format == "pickle":
        subject, runtime = pickled(model, files), "pickle"
    elif files:
        raise PackagingError("files beside the model are for a model.py and for pickles", hint="leave them out")
    elif isinstance(model, TrustedFile):
        subject, runtime = _trusted(model.path, asked, runtimes)
    else:
        subject, runtime = _object(model, asked, runtimes)
    if format == "auto" or _RUNTIMES[format] == runtime:
        return subject, runtime
    if format == "onnx" and isinstance(subject, Estimator):
        return Converted(subject), "onnx"
    raise NotStorable(
        f"{subject.title} cannot be stored as {format}",
        hint="convert the fitted estimator itself"
        if format == "onnx"
        else "leave the format to Foretell (format='auto')",
    )


def _object(model: Any, asked: Asked, runtimes: Runtimes) -> tuple[Subject, str]:
    family = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    name = type(model).__name__
    if "onnx" in family or name == "ModelProto":
        return StoredModel(bytes(model.SerializeToString()), "onnx"), "onnx"
    if "torch" in family:
        return torch_object(model, runtimes.get("torch"), classes=asked.classes), "torch"
    if "keras" in family or "tensorflow" in family:
        return keras_object(model, runtimes.get("litert"), classes=asked.classes), "litert"
    if "xgboost" in family:
        return (XGBoostBooster(model) if name == "Booster" else XGBoostEstimator(model)), "xgboost"
    if "lightgbm" in family:
        return (LightGBMBooster(model) if name == "Booster" else LightGBMEstimator(model)), "lightgbm"
    if "sklearn" in family or hasattr(model, "predict") or isinstance(model, type):
        return Estimator(model), "sklearn"
    raise PackagingError(f"a {name} is no model that can be packaged", hint=f"give {_GIVEN}")


def _trusted(path: Path, asked: Asked, runtimes: Runtimes) -> tuple[Subject, str]:
    """A file that is code, on its author's word."""
    if is_tensorflow(path):
        return keras_file(path, runtimes.get("litert"), classes=asked.classes), "litert"
    return array_file(path, runtimes.get("torch"), classes=asked.classes), "torch"


def _file(path: Path, asked: Asked, runtimes: Runtimes) -> tuple[Subject, str]:
    files = asked.files
    if is_tensorflow(path):
        raise _untrusted(path, "a Keras or TensorFlow model may hold code of its author's")
    if not path.is_file():
        raise PathMissing(f"there is no model file {path}")
    recognition = runtimes.recognise(path)
    if recognition is None:
        raise UnrecognisedArtifact(f"{path} is not recognised as a model", hint=f"give {_GIVEN}")
    if recognition.trust is Trust.CODE:
        raise _untrusted(path, recognition.reason)
    if recognition.runtime == "python":
        return PythonFile(path, files), "python"
    if files:
        raise PackagingError(
            f"{path.name} is served alone", hint="files beside the model are for a model.py and for pickles"
        )
    if recognition.runtime == "litert":
        return array_file(path, runtimes.get("litert"), classes=asked.classes), "litert"
    return StoredModel(path, recognition.runtime), recognition.runtime


def _untrusted(path: Path, why: str) -> UntrustedArtifact:
    return UntrustedArtifact(
        f"{path} is code ({why}): loading it runs whatever is in it",
        hint=f"if you trust its author: foretell add NAME {path.name} --example DATA.csv --trust-pickle",
    )
