"""From a ``.skops`` file to a model."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary, UntrustedArtifact
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, only_cpu
from foretell.runtimes.sklearn.light import without_other_arrays
from foretell.runtimes.sklearn.parts import parts_of
from foretell.runtimes.sklearn.predictor import Predictor
from foretell.runtimes.sklearn.rows import feed_for, needs_frame
from foretell.runtimes.sklearn.signature import feature_names, fitted_with, last_step, signature_of
from foretell.runtimes.sklearn.structure import check_headers, check_structure
from foretell.runtimes.sklearn.trusted import TRUSTED_TYPES

_ZIP_MAGIC = b"PK\x03\x04"
_SCHEMA = "schema.json"
_PARAMETERS = 64
_PARAMETER_CHARS = 200


class SklearnModel:
    """A loaded estimator."""

    def __init__(self, estimator: Any, signature: Signature | None, options: LoadOptions) -> None:
        own = signature_of(estimator) if signature is None else _agreed(signature, estimator)
        self.signature = own
        self.model_type = type(last_step(estimator)).__name__
        self.parameters: Mapping[str, Any] = _parameters(last_step(estimator))
        names = feature_names(estimator)
        self._feed = feed_for(estimator, own)
        prepare(estimator, options, forget_names=not needs_frame(estimator, names) and own.layout == "matrix")
        self._predictor: Predictor | None = Predictor(estimator, own.output)

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises; the estimator's own answers."""
        if self._predictor is None:
            raise RuntimeError("the model is closed")
        return self._predictor(self._feed(inputs))

    def close(self) -> None:
        """Lets go of the estimator."""
        self._predictor = None


class SklearnRuntime:
    """scikit-learn estimators and pipelines, stored by skops."""

    name = "sklearn"
    isolation: Isolation = "any"
    requires: Sequence[Requirement] = (
        Requirement("sklearn", "scikit-learn", "sklearn"),
        Requirement("skops", "skops", "sklearn"),
    )

    def recognise(self, path: Path) -> Recognition | None:
        """A zip archive, named ``.skops`` or holding skops' ``schema.json``."""
        try:
            with path.open("rb") as file:
                if file.read(4) != _ZIP_MAGIC:
                    return None
            if path.suffix.lower() == ".skops":
                return Recognition(self.name, "its name ends in .skops and it is a zip archive")
            with zipfile.ZipFile(path) as archive:
                if _SCHEMA in archive.namelist():
                    return Recognition(self.name, "it is a zip archive with a skops schema")
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
            return None
        return None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> SklearnModel:
        """Raises MissingLibrary, UntrustedArtifact, SignatureMissing or LoadFailed, nothing else."""
        only_cpu(self.name, options)
        try:
            check_headers(path)
            estimator = read_skops(path)
            if not hasattr(estimator, "predict"):
                raise LoadFailed(
                    f"a {type(estimator).__name__} has no predict: only estimators that predict are served"
                )
            check_structure(estimator)
            return SklearnModel(estimator, signature, options)
        except ArtifactError:
            raise
        except Exception as error:
            raise LoadFailed(
                f"scikit-learn cannot load {path.name}: {_brief(error)}",
                hint="The file may be damaged, or written by other versions: foretell check shows them.",
            ) from error


def read_skops(path: Path) -> Any:
    """The object in the file, if every type in it is on skops' or our reviewed list.

    Raises MissingLibrary, UntrustedArtifact, LoadFailed, or whatever reading a damaged file raises.
    """
    try:
        with without_other_arrays():
            import skops.io
            from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError as error:
        raise MissingLibrary(
            f"scikit-learn models need scikit-learn and skops: {_brief(error)}", hint="pip install 'foretell[sklearn]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # version skew is reported from the manifest, with both versions
        try:
            return skops.io.load(path, trusted=list(TRUSTED_TYPES))
        except UntrustedTypesFoundException as error:
            names = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
            raise UntrustedArtifact(
                f"{path.name} holds types that are not on the reviewed list: {', '.join(names[:10])}",
                hint="Convert it with 'foretell add NAME FILE --convert onnx', or keep to scikit-learn's own types.",
            ) from error


def prepare(estimator: Any, options: LoadOptions, *, forget_names: bool) -> None:
    """Readies every part for serving: thread counts, no writing into the caller's rows, checks answered once.

    ``forget_names`` takes ``feature_names_in_`` away where rows come as a plain matrix in the right order, so that
    scikit-learn neither compares names nor warns that they are missing.
    """
    import threadpoolctl

    from foretell.runtimes.sklearn import shortcuts

    reviewed = False
    if options.exclusive:
        threadpoolctl.threadpool_limits(options.threads)
        reviewed = shortcuts.install()
    for part, _holder in parts_of(estimator):
        own = getattr(part, "__dict__", {})
        if "n_jobs" in own:
            part.n_jobs = options.threads
        if own.get("copy") is False:
            part.copy = True
        if own.get("verbose"):
            part.verbose = 0
        if forget_names and "feature_names_in_" in own:
            del part.feature_names_in_
        if reviewed:
            shortcuts.settle(part)


def _agreed(signature: Signature, estimator: Any) -> Signature:
    """The manifest's signature, if the estimator can keep it."""
    takes = fitted_with(estimator, "n_features_in_")
    if signature.columns and takes is not None and len(signature.columns) != takes:
        raise LoadFailed(f"the signature has {len(signature.columns)} columns, the estimator takes {takes}")
    names = feature_names(estimator) or list(signature.names)
    if set(names) == set(signature.names) and tuple(names) != signature.names:
        raise LoadFailed(f"the signature has the columns in another order than the estimator: {', '.join(names)[:200]}")
    classes, own = signature.output.classes, getattr(estimator, "classes_", None)
    if classes is not None and own is not None and len(classes) != len(own):
        raise LoadFailed(f"the signature has {len(classes)} classes, the estimator {len(own)}")
    if signature.output.probabilities and not hasattr(estimator, "predict_proba"):
        raise LoadFailed(f"the signature promises probabilities, but {type(estimator).__name__} gives none")
    return signature


def _parameters(estimator: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in sorted(estimator.get_params(deep=False).items())[:_PARAMETERS]:
        text = json.dumps(value, default=repr)
        found[name] = json.loads(text) if len(text) <= _PARAMETER_CHARS else text[:_PARAMETER_CHARS] + "…"
    return found


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no message'}"


runtime = SklearnRuntime()
