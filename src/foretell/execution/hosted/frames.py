"""Frames between web workers, hosts and their supervisor: a length-prefixed msgpack header, then raw array bytes.

Nothing is pickled in either direction, and nothing that arrives is trusted: lengths, types, shapes and sizes are
checked before memory is taken for them. This module is loaded in the model's own environment too and needs numpy and
msgpack only.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors

MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_PAYLOAD_BYTES = 512 * 1024 * 1024

_PREFIX = struct.Struct("<IQ")
_ALIGN = 16
_MAX_DIMENSIONS = 8
MAX_TEXTS = 2 * 1024 * 1024
"""Cells of texts in one frame: 100,000 rows of twenty such columns. Two letters are 3 bytes here and 70 in memory."""
_MAX_CONTAINERS = 100_000
"""Lists and maps of one header. An empty list is one byte here and 64 in memory; a header of ours has a few."""
_MAX_ITEMS = MAX_TEXTS + 8 * _MAX_CONTAINERS
_DTYPE = re.compile(r"[<|](?:[fiu][1248]|b1|M8\[us\]|U[0-9]{1,5})")

Header = Mapping[str, Any]
Arrays = list[NDArray[Any]]


class FrameError(ValueError):
    """What came is no frame, or not one that fits here."""


def pack(header: Header, arrays: Sequence[NDArray[Any]] = ()) -> bytes:
    """One frame. Each array starts at a multiple of 16 bytes of the payload.

    Raises FrameError for what would be refused, and whatever msgpack raises for what it cannot hold.
    """
    parts: list[bytes] = []
    for array in arrays:
        raw = array.tobytes()
        parts += (raw, bytes(-len(raw) % _ALIGN))
    head = msgpack.packb(header)
    payload_bytes = sum(map(len, parts))
    if len(head) > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a frame of {len(head)} and {payload_bytes} bytes is larger than any may be")
    return b"".join([_PREFIX.pack(len(head), payload_bytes), head, *parts])


class FrameReader:
    """Puts frames together from what arrives, however it was cut. Raises FrameError for what cannot be one."""

    def __init__(self, max_header_bytes: int = MAX_HEADER_BYTES, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._buffer = bytearray()
        self._max_header_bytes = max_header_bytes
        self._max_payload_bytes = max_payload_bytes

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> tuple[dict[str, Any], bytearray] | None:
        """The next whole frame's header and payload; None while there is none."""
        if len(self._buffer) < _PREFIX.size:
            return None
        head_bytes, payload_bytes = _PREFIX.unpack_from(self._buffer)
        if head_bytes > self._max_header_bytes or payload_bytes > self._max_payload_bytes:
            raise FrameError(f"a frame of {head_bytes} and {payload_bytes} bytes is larger than any may be")
        start = _PREFIX.size + head_bytes
        end = start + payload_bytes
        if len(self._buffer) < end:
            return None
        try:
            header = _unpacked(memoryview(self._buffer)[_PREFIX.size : start])
        except Exception as error:  # msgpack raises what its C code finds: ValueError and kin, UnicodeDecodeError ...
            raise FrameError("the header is no msgpack") from error
        if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
            raise FrameError("the header is no map")
        payload = self._buffer[start:end]
        del self._buffer[:end]
        return header, payload


def _unpacked(head: memoryview) -> Any:
    containers, items = _MAX_CONTAINERS, _MAX_ITEMS

    def counted(container: Any) -> Any:
        nonlocal containers, items
        containers -= 1
        items -= len(container)
        if containers < 0 or items < 0:
            raise FrameError("the header is made of more lists, maps and values than any of ours")
        return container

    return msgpack.unpackb(
        head,
        raw=False,
        list_hook=counted,
        object_hook=counted,
        max_array_len=MAX_TEXTS,
        max_map_len=_MAX_CONTAINERS,
    )


def describe_inputs(inputs: Inputs) -> tuple[dict[str, Any], Arrays]:
    """Inputs as a part of a header and the arrays that go with it. Raises FrameError for too many texts."""
    if isinstance(inputs, Matrix):
        return _described("matrix", {"": inputs.values})
    if isinstance(inputs, Table):
        return _described("table", inputs.columns)
    return _described("tensors", inputs.arrays)


def read_inputs(header: Header, payload: bytearray) -> Inputs:
    """The inverse of ``describe_inputs``. Raises FrameError."""
    named = _read(header.get("arrays"), payload)
    kind = header.get("kind")
    counts = {array.shape[:1] for array in named.values()}
    if len(counts) != 1 or counts == {()}:
        raise FrameError("the arrays differ in their rows")
    if kind == "matrix" and list(named) == [""] and named[""].ndim == 2:
        return Matrix(named[""])
    if kind == "table":
        return Table(named)
    if kind == "tensors":
        return Tensors(named)
    raise FrameError("the inputs are of no known kind")


def describe_outputs(outputs: Outputs) -> tuple[dict[str, Any], Arrays]:
    """Outputs as a part of a header and the arrays that go with it. Raises FrameError for too many texts."""
    if outputs.tensors is not None:
        return _described("tensors", outputs.tensors)
    parts = {"indices": outputs.indices, "values": outputs.values, "probabilities": outputs.probabilities}
    return _described("rows", {name: array for name, array in parts.items() if array is not None})


def read_outputs(header: Header, payload: bytearray, signature: Signature, rows: int) -> Outputs:
    """The inverse of ``describe_outputs``, for ``rows`` rows. Raises FrameError."""
    named = _read(header.get("arrays"), payload)
    if not named or any(array.shape[:1] != (rows,) for array in named.values()):
        raise FrameError(f"the answer is not for {rows} rows")
    if header.get("kind") == "tensors":
        return Outputs(signature.output, tensors=named)
    if set(named) not in ({"indices"}, {"indices", "probabilities"}, {"values"}):
        raise FrameError("the answer is of no known kind")
    indices, probabilities = named.get("indices"), named.get("probabilities")
    classes = signature.output.classes or ()
    if indices is not None and not _are_classes(indices, len(classes)):
        raise FrameError("the answer names classes that there are not")
    if probabilities is not None and (probabilities.dtype.kind != "f" or probabilities.shape != (rows, len(classes))):
        raise FrameError("the probabilities are not of the shape they must be")
    return Outputs(signature.output, indices, named.get("values"), None, probabilities)


def _are_classes(indices: NDArray[Any], count: int) -> bool:
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        return False
    return not len(indices) or bool(indices.min() >= 0 and indices.max() < count)


def _described(kind: str, named: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], Arrays]:
    entries: list[list[Any]] = []
    arrays: Arrays = []
    texts = sum(array.size for array in named.values() if array.dtype.kind in "OT")
    if texts > MAX_TEXTS:
        raise FrameError(f"{texts:,} texts are more than the {MAX_TEXTS:,} that one frame may hold")
    for name, array in named.items():
        if array.dtype.kind in "OT":
            entries.append([name, "O", list(array.shape), array.ravel().tolist()])
            continue
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        entries.append([name, little.dtype.str, list(array.shape)])
        arrays.append(little)
    return {"kind": kind, "arrays": entries}, arrays


def _read(entries: Any, payload: bytearray) -> dict[str, NDArray[Any]]:
    if not isinstance(entries, list):
        raise FrameError("the header lists no arrays")
    named: dict[str, NDArray[Any]] = {}
    start = 0
    for entry in entries:
        if not isinstance(entry, list) or len(entry) not in (3, 4) or not isinstance(entry[0], str):
            raise FrameError("an array is not described")
        name, count = entry[0], _count(entry[2])
        if entry[1] == "O":
            named[name] = _texts(entry, count)
            continue
        if not isinstance(entry[1], str) or not _DTYPE.fullmatch(entry[1]):
            raise FrameError("an array is of a type that does not travel")
        dtype = np.dtype(entry[1])
        size = count * dtype.itemsize
        if size > len(payload) - start:
            raise FrameError("an array is larger than what came")
        array = np.frombuffer(payload, dtype, count, start) if count else np.empty(0, dtype)
        named[name] = array.reshape(entry[2])
        start += size + -size % _ALIGN
    if start != len(payload):
        raise FrameError("what came is not what the header says")
    return named


def _count(shape: Any) -> int:
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise FrameError("an array has no shape")
    if not all(type(length) is int and 0 <= length < 2**40 for length in shape):
        raise FrameError("an array has an impossible shape")
    return math.prod(shape)


def _texts(entry: list[Any], count: int) -> NDArray[Any]:
    values = entry[3] if len(entry) == 4 else None
    if not isinstance(values, list) or len(values) != count:
        raise FrameError("an array of objects is not of its shape")
    if not all(value is None or isinstance(value, str | int | float | bytes) for value in values):
        raise FrameError("an array holds objects that do not travel")
    array = np.empty(count, dtype=object)
    array[:] = values
    return array.reshape(entry[2])
