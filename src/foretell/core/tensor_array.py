"""Holding an array against a model's only tensor: all rows at once, by the rules of ``core.gathering``.

An array of the tensor's own dtype reaches the model as it came, without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.core.document import Document, Unreadable
from foretell.core.faults import Faults, clip
from foretell.core.gathering import Gathering
from foretell.core.limits import BodyLimits
from foretell.core.rows import check_count, single_expected
from foretell.core.signature import Signature, Tensor
from foretell.core.values import Tensors

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def bind_tensor(document: Document, array: Array, signature: Signature, limits: BodyLimits, faults: Faults) -> Tensors:
    """The array as the batch of the only tensor; raises as ``validation.bind`` promises.

    On a single path the array is one row, and may have a batch axis of one.
    """
    if len(signature.tensors) > 1:
        detail = f"Model {faults.label} takes several tensors, which one array cannot carry; send JSON."
        faults.add("wrong_shape", "this model takes several tensors", malformed=True, detail=detail)
        raise faults.error()
    tensor = signature.tensors[0]
    rank = len(tensor.shape)
    if document.single and array.ndim == rank - 1:
        array = array[None]
    if array.ndim != rank or any(
        size not in (-1, got) for size, got in zip(tensor.shape[1:], array.shape[1:], strict=True)
    ):
        raise _wrong_shape(document, array, tensor, faults)
    check_count(document, len(array), limits, faults)
    if document.single and len(array) > 1:
        raise single_expected(document)
    if 0 in array.shape:
        raise _wrong_shape(document, array, tensor, faults)
    _note_refused(document, array, tensor, limits, faults)
    faults.refuse()
    dtype = np.dtype(object if tensor.dtype == "string" else tensor.dtype)
    return Tensors({tensor.name: np.ascontiguousarray(array, dtype=dtype)})


def _wrong_shape(document: Document, array: Array, tensor: Tensor, faults: Faults) -> Exception:
    row = ["any" if size == -1 else size for size in tensor.shape[1:]]
    wanted = str(row if document.single else ["rows", *row]).replace("'", "")
    got = clip(str(list(array.shape)))
    detail = f"Model {faults.label} takes an array of shape {wanted} here, got one of shape {got}."
    message = f"expected an array of shape {wanted}"
    faults.add("wrong_shape", message, ("rows",), expected=wanted, got=got, malformed=True, detail=detail)
    return faults.error()


def _note_refused(document: Document, array: Array, tensor: Tensor, limits: BodyLimits, faults: Faults) -> None:
    refused = dict(_refused(array, tensor, limits))
    if not refused:
        return
    totals = {code: int(np.count_nonzero(mask)) for code, mask in refused.items()}
    anywhere = np.logical_or.reduce(list(refused.values()))
    gathering = Gathering(tensor, limits, faults)
    for place in np.argwhere(anywhere):
        if faults.full(malformed=False):
            break
        at = tuple(place.tolist())
        where = ("rows", *at[1:]) if document.single else ("rows", *at)
        totals[next(code for code, mask in refused.items() if mask[at])] -= 1
        gathering.take(_plain(array[at]), where, None if document.single else at[0])
    for code, times in totals.items():
        if times:
            faults.count(code, malformed=False, times=times)


def _refused(array: Array, tensor: Tensor, limits: BodyLimits) -> Iterator[tuple[str, Mask]]:
    """Where the array's values are no values of the tensor, by code; no place is in two masks, no mask is empty."""
    kind, wanted = array.dtype.kind, "O" if tensor.dtype == "string" else np.dtype(tensor.dtype).kind
    finite = np.isfinite(array) if kind == "f" else np.ones(array.shape, dtype=np.bool_)
    masks: list[tuple[str, Mask]] = [("not_finite", ~finite)]
    if wanted in "fiu" and kind in "fiu":
        values = array
        if wanted in "iu" and kind == "f":
            masks.append(("wrong_type", finite & (np.floor(array) != array)))
        whole = finite & ~masks[-1][1]
        masks.append(("out_of_range", whole & _outside(values, tensor, limits)))
    elif wanted == "O" and kind == "U":
        lengths = np.char.str_len(array)
        masks.append(("text_too_long", lengths > limits.max_text_chars))
    elif wanted != "b" or kind != "b":
        masks.append(("wrong_type", finite))
    return ((code, mask) for code, mask in masks if mask.any())


def _outside(array: Array, tensor: Tensor, limits: BodyLimits) -> Mask:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        highest = min(float(np.finfo(dtype).max), limits.max_magnitude)
        if array.dtype == dtype and math.isinf(limits.max_magnitude):
            return np.zeros(array.shape, dtype=np.bool_)
        values = array.astype(np.float64)
        return (values < -highest) | (values > highest)
    bounds = np.iinfo(dtype)
    low, high = int(bounds.min), int(bounds.max)
    if array.dtype.kind != "f":
        outside: Mask = (array < low) | (array > high)
        return outside
    values = array.astype(np.float64)
    # one above the highest is a power of two, which float64 has; the highest itself it may not have
    return (values < float(low)) | (values >= float(high + 1))


def _plain(value: Any) -> object:
    if value.dtype.kind == "f" and not np.isfinite(value):
        return Unreadable("not_finite", str(value))
    return value.item()
