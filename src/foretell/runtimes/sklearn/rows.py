"""Rows as an estimator wants them: the matrix itself, or a data frame where columns are chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Column, ColumnType, Signature
from foretell.core.values import Inputs, Matrix, Table
from foretell.errors import LoadFailed, MissingLibrary
from foretell.runtimes.sklearn.parts import parts_of
from foretell.runtimes.sklearn.signature import column_names, feature_names

Feed = Callable[[Inputs], Any]


def feed_for(estimator: Any, signature: Signature) -> Feed:
    """How the estimator gets its rows. Raises LoadFailed for tensors, MissingLibrary where a frame needs pandas."""
    if signature.layout == "tensors":
        raise LoadFailed("a scikit-learn estimator takes columns, the signature has tensors")
    names = feature_names(estimator)
    if needs_frame(estimator, names) or (names is not None and signature.layout == "table"):
        return _frame_feed(signature, names or list(signature.names), _missing_as_none(estimator, names))
    return _matrix if signature.layout == "matrix" else _object_feed(signature.columns)


def needs_frame(estimator: Any, names: Sequence[str] | None) -> bool:
    """Whether some part chooses columns by name, looks at column types, or hands data frames on."""
    if names is None:
        return False
    for part, _holder in parts_of(estimator):
        if vars(part).get("_sklearn_output_config") if hasattr(part, "__dict__") else False:
            return True
        kind = type(part).__name__
        if kind == "FunctionTransformer" or getattr(part, "_preprocessor", None) is not None:
            return True
        if kind == "ColumnTransformer" and any(_by_name(columns) for columns in getattr(part, "_columns", ())):
            return True
    return False


def _by_name(columns: Any) -> bool:
    if isinstance(columns, slice):
        return isinstance(columns.start, str) or isinstance(columns.stop, str)
    if isinstance(columns, str):
        return True
    return isinstance(columns, Sequence | np.ndarray) and any(isinstance(item, str) for item in columns)


def _matrix(inputs: Inputs) -> NDArray[np.float64]:
    assert isinstance(inputs, Matrix)  # noqa: S101 - the port promises inputs in the signature's layout
    return inputs.values


def _object_feed(columns: Sequence[Column]) -> Feed:
    def rows(inputs: Inputs) -> NDArray[Any]:
        assert isinstance(inputs, Table)  # noqa: S101
        cells = np.empty((inputs.count, len(columns)), dtype=object)
        for index, column in enumerate(columns):
            cells[:, index] = _missing_as_nan(inputs.columns[column.name])
        return cells

    return rows


def _frame_feed(signature: Signature, names: Sequence[str], none_columns: set[str]) -> Feed:
    try:
        import pandas
    except ImportError as error:
        raise MissingLibrary(
            "this estimator chooses its columns by name and needs pandas", hint="pip install 'foretell[pandas]'"
        ) from error
    # The author may call the columns otherwise than the estimator does: they go by their places.
    index = pandas.Index(names)
    pairs = list(zip(names, signature.names, strict=True))
    casts = {name: kind for name, column in zip(names, signature.columns, strict=True) if (kind := _whole(column))}

    def frame(inputs: Inputs) -> Any:
        if isinstance(inputs, Matrix):
            if not casts:
                return pandas.DataFrame(inputs.values, columns=index, copy=False)
            cells = dict(zip(signature.names, inputs.values.T, strict=True))
        else:
            assert isinstance(inputs, Table)  # noqa: S101
            cells = inputs.columns
        columns = {}
        for name, called in pairs:
            values = cells[called]
            if name in casts:
                values = values.astype(casts[name])
            elif values.dtype == object and name not in none_columns:
                values = _missing_as_nan(values)
            columns[name] = pandas.Series(values, dtype=values.dtype)
        return pandas.DataFrame(columns, copy=False)

    return frame


def _whole(column: Column) -> type | None:
    """The dtype pandas gives a column of whole numbers or of booleans that misses nothing."""
    if column.nullable:
        return None
    return {ColumnType.INTEGER: np.int64, ColumnType.BOOLEAN: np.bool_}.get(column.type)


def _missing_as_nan(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as pandas has them in training: what is missing is NaN."""
    if values.dtype != object:
        return values
    missing = np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    if not missing.any():
        return values
    filled = values.copy()
    filled[missing] = np.nan
    return filled


def _missing_as_none(estimator: Any, names: list[str] | None) -> set[str]:
    """Columns that were None where something was missing when the estimator was trained."""
    found: set[str] = set()
    for part, _holder in parts_of(estimator):
        if type(part).__name__ == "ColumnTransformer" and names is not None:
            for _name, transformer, columns in getattr(part, "transformers_", ()):
                if any(_knows_none(inner) for inner, _ in parts_of(transformer)):
                    found.update(column_names(columns, names))
    return found


def _knows_none(part: Any) -> bool:
    if type(part).__name__ == "SimpleImputer" and part.missing_values is None:
        return True
    categories = getattr(part, "categories_", None)
    return isinstance(categories, list) and any(value is None for known in categories for value in known)
