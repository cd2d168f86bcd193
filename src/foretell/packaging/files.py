"""Model files as ``foretell add`` takes them: data is taken over as it is, code only on its author's word."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foretell.errors import NotStorable, PackagingError, PathMissing, UnrecognisedArtifact, UntrustedArtifact
from foretell.packaging.array_subject import TrustedFile
from foretell.packaging.keras import is_tensorflow
from foretell.packaging.pickled import PickleFile
from foretell.packaging.pickles import open_pickle
from foretell.runtimes.base import Trust
from foretell.runtimes.sklearn.runtime import read_skops
from foretell.sources.base import Recognise


@dataclass(frozen=True)
class Opened:
    """What to package: the path itself where the file is data to be copied, else the object from it."""

    model: Any
    libraries: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFile:
    """A file with a model, perhaps with a fitted scaler in another, and whether their author is trusted.

    ``retry`` is the command as it was typed, for the line that repeats it with ``--trust-pickle``.
    """

    path: Path
    scaler: Path | None
    trust_pickle: bool
    keep_pickle: bool
    as_object: bool
    retry: tuple[str, ...]

    def opened(self, recognise: Recognise) -> Opened:
        """Raises PathMissing, UnrecognisedArtifact, UntrustedArtifact, LoadFailed or NotStorable."""
        if self.scaler is None:
            return self._open(self.path, recognise, whole=self.as_object)
        model, scaler = (self._open(path, recognise, whole=True) for path in (self.path, self.scaler))
        return Opened(
            _pipeline(scaler.model, model.model),
            {**scaler.libraries, **model.libraries},
            tuple(dict.fromkeys((*scaler.notes, *model.notes))),
        )

    def _open(self, path: Path, recognise: Recognise, *, whole: bool) -> Opened:
        """``whole``: as an object, even where the file could be copied."""
        if is_tensorflow(path):
            self._refuse_untrusted(path, "keras")
            return Opened(TrustedFile(path))
        if not path.is_file():
            raise PathMissing(f"there is no file {path}")
        recognition = recognise(path)
        if recognition is None:
            raise UnrecognisedArtifact(
                f"{path} is not recognised as a model",
                hint="known are .skops, .onnx, XGBoost's .ubj and .json, LightGBM's .txt, model.py, PyTorch's .pt2 and "
                ".pt, .tflite, .keras, and pickles (.pkl, .joblib)",
            )
        if recognition.trust is Trust.CODE:
            self._refuse_untrusted(path, recognition.runtime)
            if recognition.runtime != "pickle":
                return Opened(TrustedFile(path))
            found = open_pickle(path)
            kept = self.keep_pickle and not whole
            return Opened(PickleFile(path, found.model) if kept else found.model, found.libraries, found.notes)
        if not whole:
            return Opened(path)
        if recognition.runtime == "sklearn":
            return Opened(read_skops(path))
        raise NotStorable(
            f"{path.name} holds a {recognition.runtime} model without the estimator around it, "
            "so it can be neither converted nor joined with a scaler",
            hint="package the fitted estimator itself, from Python or as a joblib file",
        )

    def _refuse_untrusted(self, path: Path, runtime: str) -> None:
        if not self.trust_pickle:
            kind = "a pickle" if runtime == "pickle" else "code"
            raise UntrustedArtifact(
                f"{path} is {kind}: loading it runs whatever code is in it. If you trust its author, say so:",
                hint=shlex.join((*self.retry, "--trust-pickle")),
            )


def _pipeline(scaler: Any, model: Any) -> Any:
    """One pipeline of both, fitted as they are."""
    if not hasattr(scaler, "transform"):
        raise PackagingError(
            f"the scaler is a {type(scaler).__name__}, which has no transform method",
            hint="give the fitted StandardScaler or ColumnTransformer, not the model",
        )
    from sklearn.pipeline import Pipeline

    return Pipeline([("scaler", scaler), ("model", model)])
