"""Example data for models that take tensors: named arrays, the first axis of each being the rows."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import TENSOR_DTYPES, Tensor
from foretell.errors import PackagingError

SUFFIXES = (".npz", ".npy")
UNNAMED = ""
"""The name of an array that came alone."""


@dataclass(frozen=True)
class TensorExample:
    """Arrays by tensor name, all with as many rows."""

    arrays: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if array.dtype.name not in TENSOR_DTYPES:
                raise PackagingError(f"the example {name or 'array'} is of type {array.dtype}, which is no tensor")
        lengths = {len(array) if array.ndim else 0 for array in self.arrays.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise PackagingError("the example's arrays need rows as their first axis, as many in each")

    @classmethod
    def of(cls, given: Any) -> TensorExample | None:
        """The example, where what is given are tensors: an array of three axes or more, or a dict of arrays of which
        one has several axes; None where it is a table."""
        if isinstance(given, np.ndarray):
            return cls({UNNAMED: given}) if given.ndim > 2 else None
        arrays = isinstance(given, Mapping) and all(isinstance(value, np.ndarray) for value in given.values())
        if arrays and any(value.ndim > 1 for value in given.values()):
            return cls(dict(given))
        return None

    @classmethod
    def read(cls, path: Path) -> TensorExample:
        """From a ``.npz`` or ``.npy`` file, of which nothing is unpickled. Raises PackagingError."""
        try:
            found = np.load(path, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return cls({UNNAMED: found})
            with found:
                return cls({name: found[name] for name in found.files})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:200]
            raise PackagingError(f"{path} cannot be read as arrays: {reason}") from error

    @property
    def count(self) -> int:
        return len(next(iter(self.arrays.values())))

    def part(self, rows: int) -> TensorExample:
        """The first rows."""
        return TensorExample({name: array[:rows] for name, array in self.arrays.items()})

    def tensors(self) -> tuple[Tensor, ...]:
        """What the arrays are, for a model that does not tell what it takes."""
        return tuple(Tensor(name, array.dtype.name, (-1, *array.shape[1:])) for name, array in self.arrays.items())

    def matched(self, wanted: Sequence[Tensor]) -> TensorExample:
        """The arrays under the names and types that the model takes. Raises PackagingError where they do not fit."""
        if set(self.arrays) == {UNNAMED} and len(wanted) == 1:
            return TensorExample({wanted[0].name: self.arrays[UNNAMED]}).matched(wanted)
        if set(self.arrays) != {tensor.name for tensor in wanted}:
            taken = ", ".join(f"{tensor.name} ({tensor.dtype})" for tensor in wanted)
            given = ", ".join(name or "an array without a name" for name in self.arrays)
            raise PackagingError(f"the model takes {taken[:300]}; the example has {given[:300]}")
        return TensorExample({tensor.name: _fitted(tensor, self.arrays[tensor.name]) for tensor in wanted})


def _fitted(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    sizes = zip(tensor.shape[1:], array.shape[1:], strict=False)
    if array.ndim != len(tensor.shape) or any(wanted not in (-1, size) for wanted, size in sizes):
        shape = " × ".join("any" if size < 0 else str(size) for size in tensor.shape[1:])
        raise PackagingError(f"a row of {tensor.name} is {shape}; those of the example are {array.shape[1:]}")
    if not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
        raise PackagingError(f"{tensor.name} is {tensor.dtype}; the example holds {array.dtype}")
    return np.ascontiguousarray(array, dtype=tensor.dtype)
