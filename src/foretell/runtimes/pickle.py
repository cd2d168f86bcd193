"""The pickle runtime: pickle and joblib files, pinned by a manifest, allowed by name, and run hosted.

A pickle is a program. What guards it stands before this module: sources refuse a pickle without a manifest, or whose
name the settings do not allow. Estimators with scikit-learn's interface are served by that runtime's own model; other
objects by their ``predict`` and ``predict_proba``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes.base import Isolation, LoadOptions, Model, Recognition, Requirement, Trust, only_cpu
from foretell.runtimes.beside import modules_beside
from foretell.runtimes.returned import Answers

_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib"})
_PROTOCOLS = range(2, 6)


class PickledModel:
    """Any object with ``predict``: rows of numbers come to it as one array, mixed columns as a data frame."""

    def __init__(self, instance: Any, signature: Signature) -> None:
        if signature.output.probabilities and not hasattr(instance, "predict_proba"):
            kind = type(instance).__name__
            raise LoadFailed(f"the signature promises probabilities, but {kind} has no predict_proba")
        self.signature = signature
        self.model_type = type(instance).__name__
        self.parameters: Mapping[str, Any] = {}
        self._feed = feed_of(signature)
        self._answers = Answers(signature.output)
        self._instance: Any = instance

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises. Raises WrongAnswer where the object answers something else than it promises."""
        instance = self._instance
        if instance is None:
            raise RuntimeError("the model is closed")
        rows = self._feed(inputs)
        returned = {"prediction": instance.predict(rows)}
        if self.signature.output.probabilities:
            returned["probabilities"] = instance.predict_proba(rows)
        return self._answers(returned, inputs.count)

    def close(self) -> None:
        """Lets go of the object."""
        self._instance = None


class PickleRuntime:
    """Pickles and joblib files. They are code, so they run hosted, always."""

    name = "pickle"
    requires: Sequence[Requirement] = ()
    isolation: Isolation = "hosted"

    def recognise(self, path: Path) -> Recognition | None:
        """By the ending of the name, or the first bytes of a pickle."""
        suffix = path.suffix.lower()
        try:
            with path.open("rb") as file:
                start = file.read(2)
        except OSError:
            return None
        named = suffix in _SUFFIXES
        if not named and not (len(start) == 2 and start[0] == 0x80 and start[1] in _PROTOCOLS):
            return None
        seen = f"its name ends in {suffix}" if named else "it starts like a pickle"
        line = f"foretell add NAME {path.name} --trust-pickle"
        reason = f"{seen}: loading it runs code; if you trust who wrote it, run: {line}"
        return Recognition(self.name, reason, Trust.CODE)

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> Model:
        """Runs the pickle. Raises MissingLibrary, UntrustedArtifact, SignatureMissing or LoadFailed, nothing else."""
        only_cpu(self.name, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # version skew is reported from the manifest, with both versions
            instance = unpickle(path)
        if not callable(getattr(instance, "predict", None)):
            raise LoadFailed(f"a {type(instance).__name__} has no predict: only objects that predict are served")
        try:
            if hasattr(instance, "__sklearn_tags__"):
                from foretell.runtimes.sklearn.runtime import SklearnModel

                return SklearnModel(instance, signature, options)
            if signature is None:
                raise SignatureMissing(
                    f"a {type(instance).__name__} does not say what it takes",
                    hint=f"foretell add NAME {path.name} --example DATA.csv --trust-pickle --keep-pickle",
                )
            return PickledModel(instance, signature)
        except ArtifactError:
            raise
        except Exception as error:  # the object is somebody's own, and may raise anything
            raise LoadFailed(f"{path.name} cannot be served: {type(error).__name__}: {_brief(error)}") from error


def unpickle(path: Path) -> Any:
    """The object in the file: this runs code from it. Raises MissingLibrary or LoadFailed, nothing else.

    Its classes may stand in modules that lie beside it.
    """
    try:
        # the path may go through a descriptor, under which no module can be found
        with modules_beside(path.resolve().parent):
            return _opener(path)(path)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"{path.name} needs the module {error.name!r}, which is not installed here",
            hint="install it; a module of your own goes beside the file: foretell add ... --with MODULE.py",
        ) from error
    except AttributeError as error:
        raise LoadFailed(
            f"{path.name} refers to code that is not here: {str(error)[:300]}",
            hint="package the model from the program that defines it: foretell.package(model, ...)",
        ) from error
    except ArtifactError:
        raise
    except (Exception, SystemExit) as error:
        # unpickling may raise anything: the file is a program
        raise LoadFailed(f"{path.name} cannot be loaded: {type(error).__name__}: {_brief(error)}") from error


def _opener(path: Path) -> Callable[[Path], Any]:
    """joblib, which reads plain pickles too; where it is not installed, pickle for what does not need joblib."""
    try:
        import joblib
    except ImportError as error:
        if path.suffix.lower() == ".joblib":
            raise MissingLibrary(
                f"{path.name} is a joblib file, and joblib is not installed: pip install 'foretell[sklearn]'"
            ) from error
        return _plain
    return joblib.load  # type: ignore[no-any-return]


def _plain(path: Path) -> Any:
    import pickle

    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - only what a manifest pins and the settings allow comes here


def feed_of(signature: Signature) -> Callable[[Inputs], Any]:
    """How an object that is no scikit-learn estimator gets its rows. Raises LoadFailed or MissingLibrary."""
    if signature.layout == "tensors":
        raise LoadFailed("a pickled object takes columns, the signature has tensors; a model.py can take them")
    if signature.layout == "matrix":
        return _matrix
    try:
        import pandas
    except ImportError as error:
        raise MissingLibrary(
            "columns that are not all numbers reach a pickled object as a data frame, and pandas is not installed",
            hint="pip install 'foretell[pandas]'",
        ) from error

    def frame(inputs: Inputs) -> Any:
        assert isinstance(inputs, Table)  # noqa: S101 - the port promises inputs in the signature's layout
        return pandas.DataFrame(dict(inputs.columns))

    return frame


def _matrix(inputs: Inputs) -> Any:
    assert isinstance(inputs, Matrix)  # noqa: S101
    return inputs.values


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or ["no message"])[0][:300]


runtime = PickleRuntime()
