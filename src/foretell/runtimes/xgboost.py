"""The XGBoost runtime: boosters in their own JSON or UBJSON format. Importing this module does not import XGBoost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import LoadFailed, SignatureMissing
from foretell.runtimes import ubjson
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, only_cpu
from foretell.runtimes.category_codes import CategoryCodes
from foretell.runtimes.libraries import OPENMP, library, load_faults
from foretell.runtimes.xgboost_structure import check_structure

_JSON = re.compile(rb'\s*\{\s*"(?:learner|version)"\s*:')
_UBJ = re.compile(rb"\{[LlUiI].{0,8}?(?:learner|version)", re.DOTALL)
_HEAD_BYTES = 64
_CATEGORIES = 1000
_KINDS = {"int": ColumnType.INTEGER, "i": ColumnType.BOOLEAN, "c": ColumnType.CATEGORY}

Call = Callable[[NDArray[np.float64]], NDArray[Any]]


class XgboostModel:
    """A loaded booster."""

    def __init__(self, booster: Any, learner: Mapping[str, Any], signature: Signature | None, threads: int) -> None:
        self._learner = _Learner(learner)
        self.signature = signature or self._learner.signature(booster)
        self._learner.check(self.signature)
        self.model_type = f"XGBoost {self._learner.booster}"
        self.parameters: Mapping[str, Any] = {
            "objective": self._learner.objective,
            "rounds": booster.num_boosted_rounds(),
            "base_score": learner["learner_model_param"]["base_score"],
        }
        self._rows = CategoryCodes(self.signature.names, self._learner.categories(self.signature.names))
        self._call: Call | None = _call(booster, self._learner.booster, threads)
        self._answer = _answer(self.signature.output, self._learner.objective)

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises; NaN is a missing value. A booster predicts from several threads at once."""
        if self._call is None:
            raise RuntimeError("the model is closed")
        return self._answer(self._call(self._rows(inputs)))

    def close(self) -> None:
        """Lets go of the booster."""
        self._call = None


class XgboostRuntime:
    """XGBoost boosters, saved by ``save_model`` as ``.ubj`` or ``.json``."""

    name = "xgboost"
    isolation: Isolation = "any"
    requires: Sequence[Requirement] = (Requirement("xgboost", "xgboost-cpu", "xgboost"),)

    def recognise(self, path: Path) -> Recognition | None:
        """A JSON or UBJSON document that starts with XGBoost's ``learner`` or ``version``."""
        try:
            with path.open("rb") as file:
                start = file.read(_HEAD_BYTES)
        except OSError:
            return None
        if _JSON.match(start):
            return Recognition(self.name, "it is JSON and starts like an XGBoost model")
        if _UBJ.match(start):
            return Recognition(self.name, "it is binary JSON (UBJSON) and starts like an XGBoost model")
        return None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> XgboostModel:
        """Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else."""
        only_cpu(self.name, options)
        xgboost = library("XGBoost", runtime.requires[0], system=OPENMP)
        hint = "The file may be damaged, or written by a newer XGBoost; save it again with save_model."
        with load_faults("XGBoost", path, hint):
            content = path.read_bytes()
            learner = (json.loads(content) if _JSON.match(content) else ubjson.read(content))["learner"]
            check_structure(learner)
            with xgboost.config_context(verbosity=0):
                booster = xgboost.Booster(params={"nthread": options.threads}, model_file=bytearray(content))
            return XgboostModel(booster, learner, signature, options.threads)


class _Learner:
    """What a booster's own document says of it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.objective = str(document["objective"]["name"])
        self.booster = str(document["gradient_booster"]["name"])
        param = document["learner_model_param"]
        self._classes, self._targets = int(param["num_class"]), int(param.get("num_target", 1))
        self.columns = int(param["num_feature"])
        self._names = list(document.get("feature_names") or ())
        self._types = list(document.get("feature_types") or ())
        model = document["gradient_booster"].get("model", {})
        self._encodings = list(model.get("cats", {}).get("enc", ()))

    def output(self) -> Output:
        """Classes are positions: a booster does not know the labels its wrapper was trained with."""
        width = max(self._targets, 1)
        names = tuple(f"y{index}" for index in range(width)) if width > 1 else ()
        if self.objective in ("multi:softprob", "multi:softmax"):
            soft = self.objective == "multi:softprob"
            return Output("classification", classes=tuple(range(self._classes)), probabilities=soft)
        if self.objective in ("binary:logistic", "binary:hinge"):
            if names:
                return Output("classification", names=names)
            return Output("classification", classes=(0, 1), probabilities=self.objective == "binary:logistic")
        return Output("regression", names=names)

    def signature(self, booster: Any) -> Signature:
        """Columns by the booster's names and types; every value may be missing, as trees take it."""
        names = self._names or [f"x{index}" for index in range(self.columns)]
        kinds = self._types or ["float"] * len(names)
        known = self.categories(names)
        nullable = booster is not None and self.booster != "gblinear"
        columns = []
        for name, kind in zip(names, kinds, strict=True):
            texts = tuple(value for value in known.get(name, ()) if isinstance(value, str))[:_CATEGORIES]
            if kind == "c" and not texts:
                raise SignatureMissing(f"the booster does not carry the categories of column {name!r}")
            columns.append(Column(name, _KINDS.get(kind, ColumnType.FLOAT), nullable, categories=texts or None))
        return Signature(tuple(columns), output=self.output(), named=bool(self._names))

    def categories(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What each category column knows, by its place among the columns."""
        pairs = zip(names, self._encodings, strict=False)
        return {name: _decoded(encoding) for name, encoding in pairs if len(encoding["values"])}

    def check(self, signature: Signature) -> None:
        """Raises LoadFailed where a manifest's signature cannot be what this booster takes and gives."""
        if len(signature.columns) != self.columns:
            raise LoadFailed(f"the signature has {len(signature.columns)} columns, the booster takes {self.columns}")
        own, given = self.output(), signature.output
        if own.classes and given.classes and len(own.classes) != len(given.classes):
            raise LoadFailed(f"the signature has {len(given.classes)} classes, the booster {len(own.classes)}")
        if given.classes and not own.classes:
            raise LoadFailed(f"the signature has classes, but the booster's objective is {self.objective}")
        known = self.categories(signature.names)
        for column in signature.columns:
            if not column.type.numeric and column.name not in known:
                raise LoadFailed(f"the booster does not carry the categories of column {column.name!r}")


def _decoded(encoding: Mapping[str, Any]) -> list[Any]:
    """Categories as the document stores them: numbers, or texts as bytes with offsets."""
    values = np.asarray(encoding["values"])
    if "offsets" not in encoding:
        return list(values.tolist())
    content, offsets = (values.astype(np.int64) % 256).astype(np.uint8).tobytes(), encoding["offsets"]
    return [content[start:stop].decode() for start, stop in pairwise(offsets)]


def _call(booster: Any, kind: str, threads: int) -> Call:
    """One prediction, through all rounds, or up to the best where training stopped early."""
    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best is not None else (0, 0)
    if kind == "gblinear":
        xgboost = library("XGBoost", runtime.requires[0], system=OPENMP)
        return lambda rows: np.asarray(
            booster.predict(xgboost.DMatrix(rows, nthread=threads), validate_features=False, iteration_range=rounds)
        )
    return lambda rows: np.asarray(booster.inplace_predict(rows, iteration_range=rounds, validate_features=False))


def _answer(output: Output, objective: str) -> Callable[[NDArray[Any]], Outputs]:
    if output.kind == "regression":
        return lambda found: Outputs(output, values=_flat(found).astype(np.float64))
    if output.classes is None:
        return lambda found: Outputs(output, values=(_flat(found) > 0.5).astype(np.int64))
    if objective in ("multi:softmax", "binary:hinge"):
        return lambda found: Outputs(output, indices=found.astype(np.intp))

    def classify(found: NDArray[Any]) -> Outputs:
        probabilities = np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found
        given = probabilities if output.probabilities else None
        return Outputs(output, indices=probabilities.argmax(axis=1), probabilities=given)

    return classify


def _flat(found: NDArray[Any]) -> NDArray[Any]:
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


runtime = XgboostRuntime()
