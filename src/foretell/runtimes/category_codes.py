"""Categories as the numbers a booster was trained on: their positions in the list it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.values import Inputs, Matrix, Table


class CategoryCodes:
    """Rows to one float64 matrix. A category that was not there in training counts as missing, and missing is NaN.

    ``categories`` lists, by column, what the booster knows: texts, numbers or booleans.
    """

    def __init__(self, names: Sequence[str], categories: Mapping[str, Sequence[Any]]) -> None:
        self._places = {name: index for index, name in enumerate(names)}
        self._codes = {name: _codes(known) for name, known in categories.items()}

    def __call__(self, rows: Inputs) -> NDArray[np.float64]:
        """Shape (rows, columns), C-contiguous. A matrix without category columns is given back as it is."""
        if isinstance(rows, Matrix):
            return self._coded(rows.values) if self._codes else rows.values
        assert isinstance(rows, Table)  # noqa: S101 - the port promises inputs in the signature's layout
        found = np.empty((rows.count, len(self._places)), dtype=np.float64)
        for name, place in self._places.items():
            values = rows.columns[name]
            found[:, place] = self._column(name, values) if name in self._codes else _number(values)
        return found

    def _coded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = values.copy()
        for name in self._codes:
            found[:, self._places[name]] = self._column(name, values[:, self._places[name]])
        return found

    def _column(self, name: str, values: NDArray[Any]) -> list[float]:
        codes = self._codes[name]
        return [codes.get(value, np.nan) for value in values.tolist()]


def _codes(known: Sequence[Any]) -> dict[Any, float]:
    """By the category itself and, for those that are no texts, by how they are written."""
    spelled = {str(value): float(code) for code, value in enumerate(known)}
    return spelled | {value: float(code) for code, value in enumerate(known)}


def _number(values: NDArray[Any]) -> NDArray[np.float64]:
    """A column of the table as numbers. Raises ValueError where it holds texts."""
    return values.astype(np.float64, copy=False)
