"""Which kind of subject an object or a path is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from foretell.core.identity import closest
from foretell.errors import NotStorable, PackagingError, PathMissing, UnrecognisedArtifact, UntrustedArtifact
from foretell.packaging.boosters import LightGBMBooster, XGBoostBooster
from foretell.packaging.conversion import Converted
from foretell.packaging.estimators import Estimator, LightGBMEstimator, XGBoostEstimator
from foretell.packaging.pickled import PickleFile, pickled
from foretell.packaging.python_file import PythonFile
from foretell.packaging.stored import StoredModel
from foretell.packaging.subject import Subject
from foretell.runtimes.base import Trust
from foretell.sources.base import Recognise

Format = Literal["auto", "skops", "onnx", "xgboost", "lightgbm", "pickle"]
FORMATS: tuple[str, ...] = get_args(Format)

_RUNTIMES = {"skops": "sklearn", "onnx": "onnx", "xgboost": "xgboost", "lightgbm": "lightgbm", "pickle": "pickle"}
_GIVEN = "a fitted scikit-learn, XGBoost or LightGBM model, an ONNX model, or the path of a model file"


def subject_of(model: Any, format: str, recognise: Recognise, files: Sequence[Path] = ()) -> tuple[Subject, str]:
    """The subject, and the name of the runtime that will serve it.

    Raises PackagingError where the object is of no known kind, NotStorable where it does not fit the format.
    """
    if format not in FORMATS:
        near = closest(format, FORMATS)
        meant = f"did you mean {near!r}?" if near else f"known are {', '.join(FORMATS)}"
        raise PackagingError(f"there is no format {format!r}", hint=meant)
    subject: Subject
    if isinstance(model, str | os.PathLike):
        subject, runtime = _file(Path(model), recognise, files)
    elif files:
        raise PackagingError("files beside the model are for a model.py", hint="give the path of a model.py as model")
    elif isinstance(model, PickleFile) or format == "pickle":
        subject, runtime = pickled(model), "pickle"
    else:
        subject, runtime = _object(model)
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


def _object(model: Any) -> tuple[Subject, str]:
    family = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    name = type(model).__name__
    if "onnx" in family or name == "ModelProto":
        return StoredModel(bytes(model.SerializeToString()), "onnx"), "onnx"
    if "xgboost" in family:
        return (XGBoostBooster(model) if name == "Booster" else XGBoostEstimator(model)), "xgboost"
    if "lightgbm" in family:
        return (LightGBMBooster(model) if name == "Booster" else LightGBMEstimator(model)), "lightgbm"
    if "sklearn" in family or hasattr(model, "predict") or isinstance(model, type):
        return Estimator(model), "sklearn"
    raise PackagingError(f"a {name} is no model that can be packaged", hint=f"give {_GIVEN}")


def _file(path: Path, recognise: Recognise, files: Sequence[Path]) -> tuple[Subject, str]:
    if not path.is_file():
        raise PathMissing(f"there is no model file {path}")
    recognition = recognise(path)
    if recognition is None:
        raise UnrecognisedArtifact(f"{path} is not recognised as a model", hint=f"give {_GIVEN}")
    if recognition.trust is Trust.CODE:
        raise UntrustedArtifact(
            f"{path} is code ({recognition.reason}): loading it runs whatever is in it",
            hint=f"if you trust its author: foretell add NAME {path.name} --example DATA.csv --trust-pickle",
        )
    if recognition.runtime == "python":
        return PythonFile(path, files), "python"
    if files:
        raise PackagingError(f"{path.name} is served alone", hint="files beside the model are for a model.py")
    return StoredModel(path, recognition.runtime), recognition.runtime
