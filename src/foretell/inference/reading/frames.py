"""What the server and its reading process say to each other: a msgpack header, then raw bytes. Nothing is pickled."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foretell.core.values import Inputs, Matrix, Table, Tensors
from foretell.errors import BodyTooLarge, Fault, InvalidInput, MalformedRequest, RequestError

Header = Mapping[str, Any]

OBJECTS_AT_ONCE = 16_384
"""Texts in one frame: to take them out holds the interpreter for a few milliseconds."""

_PREFIX = struct.Struct("<QQ")
_ERRORS: Mapping[str, type[RequestError]] = {
    kind.__name__: kind for kind in (MalformedRequest, InvalidInput, BodyTooLarge)
}


class Ended(EOFError):
    """The other end is gone."""


def send(descriptor: int, header: Header, payloads: Sequence[bytes | memoryview] = ()) -> None:
    """Writes one frame. Raises OSError where nobody reads."""
    head = msgspec.msgpack.encode(header)
    for part in (_PREFIX.pack(len(head), sum(map(len, payloads))) + head, *payloads):
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def receive(descriptor: int) -> tuple[dict[str, Any], bytearray]:
    """Reads one frame. Raises Ended where the other end has closed, also in the middle of a frame."""
    head_bytes, payload_bytes = _PREFIX.unpack(_exactly(descriptor, _PREFIX.size))
    header: dict[str, Any] = msgspec.msgpack.decode(_exactly(descriptor, head_bytes))
    return header, _exactly(descriptor, payload_bytes)


def _exactly(descriptor: int, count: int) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        read = os.readv(descriptor, [view])
        if not read:
            raise Ended
        view = view[read:]
    return buffer


# -- rows --------------------------------------------------------------------------------------------------------------


def frames_of(inputs: Inputs) -> Iterator[tuple[dict[str, Any], list[memoryview]]]:
    """Inputs as frames, each of as many rows as may be taken out at once; ``more`` says whether another follows."""
    arrays = _named(inputs)
    objects = sum(array.dtype == object for array in arrays.values())
    step = max(1, OBJECTS_AT_ONCE // objects) if objects else inputs.count
    for start in range(0, inputs.count, step):
        part = {name: array[start : start + step] for name, array in arrays.items()}
        entries: list[list[Any]] = []
        payloads: list[memoryview] = []
        for name, array in part.items():
            shape = list(array.shape)
            if array.dtype == object:
                entries.append([name, "O", shape, array.ravel().tolist()])
            else:
                entries.append([name, array.dtype.str, shape, None])
                payloads.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        yield {"kind": type(inputs).__name__, "arrays": entries, "more": start + step < inputs.count}, payloads


def _named(inputs: Inputs) -> dict[str, NDArray[Any]]:
    if isinstance(inputs, Matrix):
        return {"": inputs.values}
    return inputs.columns if isinstance(inputs, Table) else inputs.arrays


def inputs_of(header: Header, payload: bytearray) -> Inputs:
    """The inverse of ``frames_of``, for one frame."""
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, dtype, shape, objects in header["arrays"]:
        if dtype == "O":
            array = np.empty(len(objects), dtype=object)
            array[:] = objects
        else:
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(payload, dtype, count, start)
            start += array.nbytes
        arrays[name] = array.reshape(shape)
    if header["kind"] == "Matrix":
        return Matrix(arrays[""])
    return Table(arrays) if header["kind"] == "Table" else Tensors(arrays)


# -- faults ------------------------------------------------------------------------------------------------------------


def header_of(error: RequestError) -> dict[str, Any]:
    """What is wrong with a body, as a header."""
    return {
        "error": type(error).__name__,
        "detail": _text(error.detail),
        "hint": error.hint,
        "code": error.instance_code,
        "title": error.instance_title,
        "faults": [{name: _plain(value) for name, value in asdict(fault).items()} for fault in error.faults],
        "faults_total": error.faults_total,
    }


def error_of(header: Header) -> RequestError:
    """The inverse of ``header_of``."""
    kind = _ERRORS[header["error"]]
    return kind(
        header["detail"],
        faults=[Fault(**fault) for fault in header["faults"]],
        faults_total=header["faults_total"],
        code=header["code"],
        title=header["title"],
        hint=header["hint"],
    )


def _plain(value: Any) -> Any:
    """The value as msgpack has it; answers show whole numbers this large as text, too."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
