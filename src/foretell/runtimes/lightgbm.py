"""The LightGBM runtime: boosters as the text files LightGBM writes. Importing this module does not import LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import LoadFailed, SignatureMissing
from foretell.runtimes.base import Isolation, LoadOptions, Recognition, Requirement, only_cpu
from foretell.runtimes.category_codes import CategoryCodes
from foretell.runtimes.libraries import OPENMP, library, load_faults
from foretell.runtimes.lightgbm_text import Text, read_text

_START = (b"tree\n", b"tree\r\n")
_CATEGORIES = 1000
_SEVERAL_CLASSES = ("multiclass", "multiclassova")

Call = Callable[[NDArray[np.float64]], NDArray[Any]]


class LightgbmModel:
    """A loaded booster."""

    def __init__(self, booster: Any, text: Text, signature: Signature | None, threads: int) -> None:
        self.signature = signature or signature_of(text)
        if len(self.signature.columns) != len(text.names):
            raise LoadFailed(
                f"the signature has {len(self.signature.columns)} columns, the booster takes {len(text.names)}"
            )
        _check_output(self.signature.output, text)
        self.model_type = f"LightGBM {text.boosting}"
        self.parameters: Mapping[str, Any] = {"objective": text.objective, "trees": booster.num_trees()}
        self._rows = CategoryCodes(self.signature.names, _categories(self.signature, text))
        predict = booster.predict
        self._call: Call | None = lambda rows: np.asarray(predict(rows, num_threads=threads))
        self._answer = _answer(self.signature.output)

    def predict(self, inputs: Inputs) -> Outputs:
        """As the port promises; NaN is a missing value. A booster predicts from several threads at once."""
        if self._call is None:
            raise RuntimeError("the model is closed")
        return self._answer(self._call(self._rows(inputs)))

    def close(self) -> None:
        """Lets go of the booster."""
        self._call = None


class LightgbmRuntime:
    """LightGBM boosters, saved by ``Booster.save_model``."""

    name = "lightgbm"
    isolation: Isolation = "any"
    requires: Sequence[Requirement] = (Requirement("lightgbm", "lightgbm", "lightgbm"),)

    def recognise(self, path: Path) -> Recognition | None:
        """A text that starts with the line ``tree``, whatever its name."""
        try:
            with path.open("rb") as file:
                start = file.read(6)
        except OSError:
            return None
        return Recognition(self.name, "it starts like a LightGBM text model") if start.startswith(_START) else None

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> LightgbmModel:
        """Raises MissingLibrary, SignatureMissing or LoadFailed, nothing else."""
        only_cpu(self.name, options)
        lightgbm = library("LightGBM", runtime.requires[0], system=OPENMP)
        hint = "The file may be damaged, or written by a newer LightGBM; save it again with save_model."
        with load_faults("LightGBM", path, hint):
            text = read_text(path.read_text(encoding="utf-8"))
            booster = lightgbm.Booster(model_str=text.text)
            return LightgbmModel(booster, text, signature, options.threads)


def signature_of(text: Text) -> Signature:
    """Columns by the booster's names; every value may be missing, as trees take it.

    Raises SignatureMissing where the file does not tell which columns its lists of categories belong to.
    """
    places = _category_places(text)
    named = text.names != tuple(f"Column_{index}" for index in range(len(text.names)))
    columns = []
    for index, name in enumerate(text.names):
        if index not in places:
            columns.append(Column(name if named else f"x{index}", nullable=True))
            continue
        texts = tuple(str(value) for value in text.categories[places[index]])
        columns.append(Column(name, ColumnType.CATEGORY, nullable=True, categories=texts[:_CATEGORIES] or None))
    return Signature(tuple(columns), output=_output(text), named=named)


def _output(text: Text) -> Output:
    """Classes are positions: a booster does not know the labels its wrapper was trained with."""
    if text.objective == "binary":
        return Output("classification", classes=(0, 1), probabilities=True)
    if text.objective in _SEVERAL_CLASSES:
        return Output("classification", classes=tuple(range(text.classes)), probabilities=True)
    names = tuple(f"y{index}" for index in range(text.classes)) if text.classes > 1 else ()
    return Output("regression", names=names)


def _check_output(output: Output, text: Text) -> None:
    own = _output(text)
    if output.classes and not own.classes:
        raise LoadFailed(f"the signature has classes, but the booster's objective is {text.objective or 'unknown'}")
    if output.classes and own.classes and len(output.classes) != len(own.classes):
        raise LoadFailed(f"the signature has {len(output.classes)} classes, the booster {len(own.classes)}")


def _category_places(text: Text) -> dict[int, int]:
    """Column index to its place among pandas' lists of categories."""
    if len(text.categorical) != len(text.categories):
        if not text.categories:
            return {}
        raise SignatureMissing(
            "the booster was trained on ordered categories and does not say which columns they are",
            hint="Package it with example rows: foretell.package(model, path, example=X).",
        )
    return {column: place for place, column in enumerate(text.categorical)}


def _categories(signature: Signature, text: Text) -> Mapping[str, Sequence[Any]]:
    """The lists by column: the signature's category columns in order, else those the file names."""
    texts = [column.name for column in signature.columns if not column.type.numeric]
    if texts and len(texts) == len(text.categories):
        return dict(zip(texts, text.categories, strict=True))
    found = {signature.names[column]: text.categories[place] for column, place in _category_places(text).items()}
    lacking = [name for name in texts if name not in found]
    if lacking:
        raise LoadFailed(f"the booster does not carry the categories of column {lacking[0]!r}")
    return found


def _answer(output: Output) -> Callable[[NDArray[Any]], Outputs]:
    if output.kind == "regression":
        return lambda found: Outputs(output, values=found)

    def classify(found: NDArray[Any]) -> Outputs:
        probabilities = np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found
        given = probabilities if output.probabilities else None
        return Outputs(output, indices=probabilities.argmax(axis=1), probabilities=given)

    return classify


runtime = LightgbmRuntime()
