"""A signature from a fitted estimator: ``feature_names_in_``, ``n_features_in_``, ``classes_`` and fitted encoders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from foretell.core.signature import Column, ColumnType, Label, Output, OutputKind, Signature
from foretell.errors import SignatureMissing
from foretell.runtimes.sklearn.parts import parts_of

_ENCODERS = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
_DOCUMENTED_CATEGORIES = 1000


def signature_of(estimator: Any) -> Signature:
    """What the estimator says of itself. Raises SignatureMissing where it does not know its columns."""
    names = feature_names(estimator)
    if names is None:
        count = fitted_with(estimator, "n_features_in_")
        if count is None:
            raise SignatureMissing(
                f"this {type(estimator).__name__} does not say how many columns it takes",
                hint="Package it with example rows: foretell.package(model, path, example=X).",
            )
        nullable = takes_missing(estimator)
        columns = tuple(Column(f"x{index}", nullable=nullable) for index in range(count))
        return Signature(columns, output=output_of(estimator), named=False)
    encoded = {name: (known, closed) for name, known, closed in _encoded_columns(estimator, names)}
    text, missing = set(_text_columns(estimator)), _nullable_columns(estimator, names)
    columns = tuple(_column(name, encoded.get(name), name in text, name in missing) for name in names)
    return Signature(columns, output=output_of(estimator))


def takes_missing(estimator: Any) -> bool:
    """Whether NaN may stand in the rows: every step up to an imputer, or all of them, say that they take it."""
    from sklearn.utils import get_tags

    if hasattr(estimator, "best_estimator_"):
        return takes_missing(estimator.best_estimator_)
    for _name, step in getattr(estimator, "steps", [("", estimator)]):
        if step in (None, "passthrough"):
            continue
        if type(step).__name__.endswith("Imputer"):
            return True
        if hasattr(step, "steps") or hasattr(step, "best_estimator_"):
            return takes_missing(step)
        tags = get_tags(step)
        if not tags.input_tags.allow_nan and not tags.no_validation:
            return False
    return True


def _nullable_columns(estimator: Any, names: list[str]) -> set[str]:
    """Columns that may be missing: all, or those a leading ColumnTransformer gives to steps that take NaN."""
    first, *rest = [step for _name, step in getattr(estimator, "steps", [("", estimator)])]
    if type(first).__name__ != "ColumnTransformer" or not hasattr(first, "transformers_"):
        return set(names) if takes_missing(estimator) else set()
    after = all(takes_missing(step) for step in rest)
    found: dict[str, bool] = {}
    for _name, transformer, columns in first.transformers_:
        takes = transformer == "drop" or (after if transformer == "passthrough" else _swallows(transformer, after))
        for place, name in enumerate(column_names(columns, names)):
            found[name] = found.get(name, True) and takes and not _fails_on_missing(transformer, place)
    return {name for name, takes in found.items() if takes}


def _fails_on_missing(transformer: Any, place: int) -> bool:
    """Whether an encoder that fails on what it does not know meets a missing value it has never seen."""
    for _name, step in getattr(transformer, "steps", [("", transformer)]):
        if type(step).__name__.endswith("Imputer"):
            return False
        if getattr(step, "handle_unknown", "") == "error" and hasattr(step, "categories_"):
            return not any(value is None or _nan(value) for value in step.categories_[place])
    return False


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _swallows(transformer: Any, after: bool) -> bool:
    """Whether a column's missing values are taken here and do not reach steps that refuse them."""
    steps = [step for _name, step in getattr(transformer, "steps", [("", transformer)])]
    ends = any(type(step).__name__.endswith(("Imputer", "Encoder", "Discretizer")) for step in steps)
    return takes_missing(transformer) and (ends or after)


def feature_names(estimator: Any) -> list[str] | None:
    """The names of the columns the estimator was fitted with, or None."""
    found = fitted_with(estimator, "feature_names_in_")
    return None if found is None else [str(name) for name in found]


def fitted_with(estimator: Any, attribute: str) -> Any:
    """What the estimator, or the first step of a pipeline that does anything, remembers of its columns; or None."""
    found = getattr(estimator, attribute, None)
    if found is not None or not hasattr(estimator, "steps"):
        return found
    steps = [step for _name, step in estimator.steps if step not in (None, "passthrough")]
    return fitted_with(steps[0], attribute) if steps else None


def output_of(estimator: Any) -> Output:
    """Classes, probabilities and the number of outputs, as the fitted estimator has them."""
    from sklearn.base import is_clusterer, is_outlier_detector

    if is_outlier_detector(estimator):
        return Output("classification", classes=(-1, 1))
    if is_clusterer(estimator):
        return Output("classification", classes=_clusters(estimator))
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return Output("regression", names=_output_names(_width(estimator)))
    if isinstance(classes, list) or np.ndim(classes) > 1:
        return Output("classification", names=_output_names(len(classes)))
    labels = labels_of(classes)
    # A classifier of several yes-or-no labels at once (forests, neighbours and networks take such targets).
    if _indicates(estimator):
        return Output("classification", names=_output_names(len(labels)))
    return Output("classification", classes=labels, probabilities=hasattr(estimator, "predict_proba"))


def labels_of(classes: Any) -> tuple[Label, ...]:
    """Class labels as plain values."""
    return tuple(np.asarray(classes).tolist())


def last_step(estimator: Any) -> Any:
    """The estimator that predicts: pipelines and searches unwrapped."""
    while True:
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def _indicates(estimator: Any) -> bool:
    last = last_step(estimator)
    binarizer = getattr(last, "_label_binarizer", None) or getattr(last, "label_binarizer_", None)
    kind = getattr(binarizer, "y_type_", "")
    return bool(getattr(last, "multilabel_", False)) or str(kind).startswith("multilabel")


def _clusters(estimator: Any) -> tuple[Label, ...] | None:
    centres = getattr(last_step(estimator), "cluster_centers_", None)
    return None if centres is None else tuple(range(len(centres)))


def _output_names(width: int) -> tuple[str, ...]:
    return tuple(f"y{index}" for index in range(width)) if width > 1 else ()


def _width(estimator: Any) -> int:
    """How many numbers a regressor gives for a row, by asking it for one row."""
    last = last_step(estimator)
    for name in ("n_outputs_", "_n_outputs"):
        if isinstance(getattr(last, name, None), int | np.integer):
            return int(getattr(last, name))
    if hasattr(last, "estimators_") and type(last).__name__ in ("MultiOutputRegressor", "RegressorChain"):
        return len(last.estimators_)
    columns = getattr(last, "n_features_in_", None)
    if columns is None or not hasattr(last, "predict"):
        return 1
    answer = np.asarray(last.predict(_zeros(last, columns)))
    return answer.shape[1] if answer.ndim == 2 else 1


def _zeros(estimator: Any, columns: int) -> Any:
    names = feature_names(estimator)
    if names is None:
        return np.zeros((1, columns))
    import pandas

    return pandas.DataFrame(np.zeros((1, columns)), columns=names)


def _column(name: str, encoded: tuple[list[Any], bool] | None, text: bool, nullable: bool) -> Column:
    if text:
        return Column(name, ColumnType.STRING)
    if encoded is None:
        return Column(name, nullable=nullable)
    categories, closed = encoded
    known = tuple(value for value in categories if isinstance(value, str))
    return Column(
        name,
        ColumnType.CATEGORY,
        nullable=nullable,
        categories=known if closed else known[:_DOCUMENTED_CATEGORIES],
        closed=closed,
    )


Encoded = tuple[str, list[Any], bool]


def _encoded_columns(estimator: Any, names: list[str]) -> Iterator[Encoded]:
    """Columns with texts as categories, from fitted encoders that see the input's own columns.

    Each with what the encoder knows, and whether it fails on anything else: then the list is closed.
    """
    for part, _holder in parts_of(estimator):
        if type(part).__name__ == "ColumnTransformer" and hasattr(part, "transformers_"):
            for _name, transformer, columns in part.transformers_:
                yield from _encoded(transformer, column_names(columns, names))
    yield from _encoded(estimator, names)


def _encoded(transformer: Any, columns: list[str]) -> Iterator[Encoded]:
    for _name, step in getattr(transformer, "steps", [("", transformer)]):
        kind = type(step).__name__
        if kind == "SimpleImputer":
            continue
        if kind not in _ENCODERS or len(getattr(step, "categories_", ())) != len(columns):
            return
        closed = getattr(step, "handle_unknown", "") == "error"
        for name, categories in zip(columns, step.categories_, strict=True):
            if any(isinstance(value, str) for value in categories):
                yield name, list(categories), closed
        return


def _text_columns(estimator: Any) -> Iterator[str]:
    """Columns that go to a text vectoriser."""
    for part, _holder in parts_of(estimator):
        if type(part).__name__ == "ColumnTransformer" and hasattr(part, "transformers_"):
            for _name, transformer, columns in part.transformers_:
                first = getattr(transformer, "steps", [("", transformer)])[0][1]
                if isinstance(columns, str) and type(first).__name__.endswith("Vectorizer"):
                    yield columns


def column_names(columns: Any, names: list[str]) -> list[str]:
    """The columns a ColumnTransformer selects, by name, whatever way they were given."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, int):
        return [names[columns]]
    if isinstance(columns, slice):
        start, stop = (names.index(end) if isinstance(end, str) else end for end in (columns.start, columns.stop))
        return names[slice(start, stop + 1 if isinstance(columns.stop, str) else stop, columns.step)]
    if callable(columns):
        return []
    listed = list(columns)
    if listed and isinstance(listed[0], bool | np.bool_):
        return [name for name, chosen in zip(names, listed, strict=True) if chosen]
    return [item if isinstance(item, str) else names[item] for item in listed]


__all__ = ["OutputKind", "column_names", "feature_names", "labels_of", "last_step", "output_of", "signature_of"]
