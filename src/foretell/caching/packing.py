"""Outputs as bytes, and back without losing a bit: dtypes, shapes and the types of labels stay. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Output
from foretell.core.values import Outputs

_DTYPE = re.compile(r"[<>|=](b1|[iu][1248]|f[248]|U[0-9]{1,6}|M8\[[a-z]{1,2}\])")
_OBJECTS = "O"
_PLAIN = frozenset({str, int, float, bool, type(None)})


class _Array(msgspec.Struct, array_like=True, gc=False):
    """Bytes in C order; for arrays of Python objects (labels) the objects, row by row."""

    dtype: str
    shape: list[int]
    content: bytes | list[Any]


class _Packed(msgspec.Struct, array_like=True, gc=False):
    count: int
    indices: _Array | None
    values: _Array | None
    tensors: dict[str, _Array] | None
    probabilities: _Array | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(outputs: Outputs) -> bytes | None:
    """The outputs as bytes; None where they hold what could not come back just as it was."""
    tensors = outputs.tensors
    try:
        return _encode(
            _Packed(
                outputs.count,
                _packed(outputs.indices),
                _packed(outputs.values),
                None if tensors is None else {name: _packed_array(array) for name, array in tensors.items()},
                _packed(outputs.probabilities),
            )
        )
    except (TypeError, ValueError, OverflowError):  # UnicodeError is a ValueError
        return None


def unpack(data: bytes, output: Output, count: int) -> Outputs:
    """The inverse of ``pack``, for any bytes: raises ValueError where they are not outputs of ``count`` rows.

    The arrays are views on ``data`` and cannot be written to.
    """
    packed = _decode(data)  # raises msgspec's errors, which are ValueErrors
    tensors = packed.tensors
    outputs = Outputs(
        output,
        _unpacked(packed.indices),
        _unpacked(packed.values),
        None if tensors is None else {name: _unpacked_array(array) for name, array in tensors.items()},
        _unpacked(packed.probabilities),
    )
    _check(outputs, packed.count, count)
    return outputs


def _packed(array: NDArray[Any] | None) -> _Array | None:
    return None if array is None else _packed_array(array)


def _packed_array(array: NDArray[Any]) -> _Array:
    if array.dtype.kind == "O":
        cells = array.ravel().tolist()
        if not all(map(_plain, cells)):
            raise TypeError("objects that are no labels")
        return _Array(_OBJECTS, list(array.shape), cells)
    if not _DTYPE.fullmatch(array.dtype.str):
        raise TypeError(f"an array of {array.dtype}")
    return _Array(array.dtype.str, list(array.shape), array.tobytes())


def _plain(cell: Any) -> bool:
    return all(map(_plain, cell)) if type(cell) is list else type(cell) in _PLAIN


def _unpacked(array: _Array | None) -> NDArray[Any] | None:
    return None if array is None else _unpacked_array(array)


def _unpacked_array(array: _Array) -> NDArray[Any]:
    size = math.prod(array.shape)
    if any(length < 0 for length in array.shape):
        raise ValueError("a negative length")
    if array.dtype == _OBJECTS and isinstance(array.content, list):
        if len(array.content) != size:
            raise ValueError("not as many objects as the shape says")
        cells = np.empty(size, dtype=object)
        for index, cell in enumerate(array.content):  # one by one: numpy would make a list of lists an array
            cells[index] = cell
        return cells.reshape(array.shape)
    if not isinstance(array.content, bytes) or not _DTYPE.fullmatch(array.dtype):
        raise ValueError("an array of an unknown kind")
    dtype = np.dtype(array.dtype)
    if len(array.content) != size * dtype.itemsize:
        raise ValueError("not as many bytes as the shape says")
    return np.frombuffer(array.content, dtype=dtype).reshape(array.shape)


def _check(outputs: Outputs, said: int, count: int) -> None:
    """Raises ValueError where the arrays do not go together as ``Outputs`` promises."""
    kinds = [kind for kind in (outputs.indices, outputs.values, outputs.tensors) if kind is not None]
    arrays = [*(outputs.tensors or {}).values(), outputs.indices, outputs.values, outputs.probabilities]
    present = [array for array in arrays if array is not None]
    if len(kinds) != 1 or not present or said != count:
        raise ValueError("not the outputs of so many rows")
    if any(array.ndim == 0 or len(array) != count for array in present):
        raise ValueError("an array of another number of rows")
    indices, classes = outputs.indices, outputs.output.classes or ()
    if indices is not None and (
        indices.dtype.kind != "i" or indices.ndim != 1 or indices.min() < 0 or indices.max() >= len(classes)
    ):
        raise ValueError("indices that are no classes")
    probabilities = outputs.probabilities
    if probabilities is not None and (probabilities.dtype.kind != "f" or probabilities.shape != (count, len(classes))):
        raise ValueError("probabilities of other classes")
