"""The values of one tensor, gathered from nested lists row after row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.cells import kind_of, unreadable
from foretell.core.document import Unreadable
from foretell.core.faults import Faults, clip
from foretell.core.limits import BodyLimits
from foretell.core.rows import Place, counted
from foretell.core.signature import Tensor

_WANTED = {"f": "a number", "i": "a whole number", "u": "a whole number", "b": "true or false", "O": "a string"}


class Gathering:
    """Takes rows one by one, notes what is wrong with them, and gives the array where nothing is."""

    def __init__(self, tensor: Tensor, limits: BodyLimits, faults: Faults) -> None:
        self.tensor = tensor
        self._shape = list(tensor.shape[1:])
        self._dtype: np.dtype[Any] = np.dtype(object if tensor.dtype == "string" else tensor.dtype)
        self._limits = limits
        self._faults = faults
        self._values: list[Any] = []
        self._row: int | None = None

    def add(self, value: Any, place: Place, row: int | None) -> None:
        """Takes one row's values."""
        self._row = row
        self._descend(value, 0, place)

    def take(self, value: Any, place: Place, row: int | None) -> bool:
        """Whether one value, wherever it stands, is a value of the tensor; notes why where it is not."""
        self._row = row
        return self._accepts(value, place)

    def array(self, rows: int) -> NDArray[Any]:
        """All rows. Called when there was no fault."""
        flat = np.empty(len(self._values), dtype=self._dtype)
        flat[:] = self._values
        return flat.reshape(rows, *self._shape)

    def _descend(self, value: Any, axis: int, place: Place) -> None:
        if axis == len(self._shape):
            self._take([value], place, alone=True)
            return
        if not isinstance(value, list):
            message = f"expected a list for axis {axis} of shape {self._shown_shape()}, got {kind_of(value)}"
            self._refuse("wrong_shape", message, place, kind_of(value))
            return
        if not self._fits(len(value), axis, place):
            return
        if axis == len(self._shape) - 1:
            self._take(value, place, alone=False)
            return
        for index, item in enumerate(value):
            self._descend(item, axis + 1, (*place, index))

    def _fits(self, length: int, axis: int, place: Place) -> bool:
        wanted = self._shape[axis]
        if wanted == -1 and length > 0:
            self._shape[axis] = wanted = length
        if length == wanted:
            return True
        declared = self.tensor.shape[axis + 1] != -1
        size = "at least 1 value" if wanted == -1 else counted(wanted, "value")
        message = f"expected {size} along axis {axis} of shape {self._shown_shape()}"
        self._refuse("wrong_shape" if declared or wanted == -1 else "ragged_rows", message, place, length, wanted)
        return False

    def _shown_shape(self) -> str:
        return str(["any" if size == -1 else size for size in self.tensor.shape[1:]]).replace("'", "")

    def _refuse(self, code: str, message: str, place: Place, got: Any, expected: Any = None) -> None:
        self._faults.add(code, message, place, row=self._row, expected=expected, got=got, malformed=True)

    def _take(self, values: list[Any], place: Place, *, alone: bool) -> None:
        if self._plain(values):
            self._values.extend(values)
            return
        for index, value in enumerate(values):
            where = place if alone else (*place, index)
            if self._accepts(value, where):
                self._values.append(value)

    def _plain(self, values: list[Any]) -> bool:
        """Whether all values fit beyond doubt."""
        if not values:
            return True
        kinds = set(map(type, values))
        match self._dtype.kind:
            case "b":
                return kinds == {bool}
            case "O":
                return kinds == {str} and max(map(len, values)) <= self._limits.max_text_chars
            case "f":
                highest = min(float(np.finfo(self._dtype).max), self._limits.max_magnitude)
                return kinds <= {int, float} and -highest <= min(values) and max(values) <= highest
            case _:
                bounds = np.iinfo(self._dtype)
                return kinds == {int} and bounds.min <= min(values) and max(values) <= bounds.max

    def _accepts(self, value: Any, place: Place) -> bool:
        if isinstance(value, Unreadable):
            refusal = unreadable(value)
            self._invalid(refusal.code, refusal.message, place, value, malformed=refusal.malformed)
        elif isinstance(value, list):
            message = f"expected a value, got a list: the shape is {self._shown_shape()}"
            self._refuse("wrong_shape", message, place, "array")
        elif type(value) is float and self._dtype.kind in "iu" and value.is_integer():
            return self._in_range(int(value), place)
        elif not self._right_type(value):
            message = f"must be {_WANTED[self._dtype.kind]}, got {kind_of(value)}"
            self._invalid("wrong_type", message, place, value)
        else:
            return self._in_range(value, place)
        return False

    def _right_type(self, value: Any) -> bool:
        match self._dtype.kind:
            case "b":
                return type(value) is bool
            case "O":
                return type(value) is str
            case "f":
                return type(value) in (int, float)
            case _:
                return type(value) is int

    def _in_range(self, value: Any, place: Place) -> bool:
        if self._plain([value]):
            return True
        if self._dtype.kind == "O":
            message = f"must have at most {self._limits.max_text_chars} characters"
            self._invalid("text_too_long", message, place, value)
        else:
            self._invalid("out_of_range", f"is outside the range of {self.tensor.dtype}", place, value)
        return False

    def _invalid(self, code: str, message: str, place: Place, value: Any, *, malformed: bool = False) -> None:
        if self._faults.full(malformed=malformed):
            self._faults.count(code, malformed=malformed)
            return
        text, dtype = f"{clip(self.tensor.name)} {message}", self.tensor.dtype
        self._faults.add(code, text, place, row=self._row, expected=dtype, value=value, malformed=malformed)
