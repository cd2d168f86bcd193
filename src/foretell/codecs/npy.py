"""NPY bodies: one numpy array, as ``numpy.save`` writes it (numpy's NEP 1).

The header is read by a grammar of its own and never evaluated. Arrays of numbers, booleans and texts are taken; arrays
of objects, which hold pickles, and records never are. Values are not copied but where their byte order or their
alignment asks for it.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.codecs.base import Answers, Decoders
from foretell.core.document import Document
from foretell.core.faults import clip, malformed
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.errors import MalformedRequest, NotAcceptable

__all__ = ["NpyCodec", "codec"]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 64 * 1024
_MAX_AXES = 32
_ITEM = rb"'(descr|fortran_order|shape)'\s*+:\s*+('[^'\\]*+'|True|False|\([0-9, ]*+\))"
_HEADER = re.compile(rb"\{(?:\s*+" + _ITEM + rb"\s*+,){2}\s*+" + _ITEM + rb"\s*+,?\s*+\}\s*+")
_SIZE = re.compile("[0-9]{1,18}")
_PAIR = re.compile(_ITEM)
_TYPE = re.compile(r"([<>|=]?)(?:(f)([248])|([iu])([1248])|(b)(1)|(U)([1-9][0-9]{0,7}))")


class NpyCodec:
    """The codec of ``application/x-npy``."""

    single = True
    off_loop_bytes: int | None = 64 * 1024
    missing: str | None = None

    @property
    def media_type(self) -> str:
        return "application/x-npy"

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:  # noqa: ARG002
        return None

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:  # noqa: ARG002
        if not body:
            raise malformed("body_empty", "the body is empty", "The body is empty; send what numpy.save writes.")
        header, start = _header(body)
        dtype, shape, by_columns = _described(header)
        array = _array(body, start, dtype, shape)
        return Document("npy", not many, array.T if by_columns else array)

    def write(self, answers: Answers) -> bytes:
        array = answers.array()
        if array is None:
            raise NotAcceptable(
                "This answer does not fit into one array, so it cannot be given as 'application/x-npy'.",
                hint="send the header 'accept: application/json'",
            )
        file = io.BytesIO()
        np.lib.format.write_array(file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
        return file.getvalue()


codec = NpyCodec()


def _header(body: bytes) -> tuple[bytes, int]:
    """The header's text, and where the values begin."""
    if not body.startswith(_MAGIC):
        raise _broken("it does not start with the bytes of an NPY file")
    version, size_bytes = body[6:8], 2 if body[6:7] == b"\x01" else 4
    if version not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise _broken("its version is none of 1.0, 2.0 and 3.0")
    start = 8 + size_bytes
    size = int.from_bytes(body[8:start], "little")
    if len(body) < start + size or len(body) < start:
        raise _broken("it ends inside its header")
    if size > _MAX_HEADER_BYTES:
        raise _broken("its header is too long")
    return body[start : start + size], start + size


def _described(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """The dtype, the shape as the values lie, and whether they lie column after column."""
    items = _PAIR.findall(header) if _HEADER.fullmatch(header) else []
    fields = {name.decode(): value.decode("latin-1") for name, value in items}
    if len(fields) != 3 or not fields["descr"].startswith("'") or not fields["shape"].startswith("("):
        kind = "an array of records is" if b"[(" in header else "its header is"
        raise _broken(f"{kind} not one with 'descr', 'fortran_order' and 'shape' of plain values")
    if fields["fortran_order"] not in ("True", "False"):
        raise _broken("'fortran_order' must be True or False")
    by_columns = fields["fortran_order"] == "True"
    shape = _shape(fields["shape"])
    return _dtype(fields["descr"].strip("'")), shape[::-1] if by_columns else shape, by_columns


def _shape(text: str) -> tuple[int, ...]:
    sizes = [size.strip() for size in text.strip("()").split(",")]
    if sizes[-1] == "":  # after the last comma, and between brackets that hold nothing
        sizes.pop()
    if len(sizes) > _MAX_AXES or not all(_SIZE.fullmatch(size) for size in sizes):
        raise _broken(f"'shape' must be at most {_MAX_AXES} whole numbers")
    return tuple(map(int, sizes))


def _dtype(text: str) -> np.dtype[Any]:
    if not _TYPE.fullmatch(text):
        why = "objects, which may be code, are never read" if "O" in text else "numbers, booleans and texts are read"
        detail = f"The body is an array of dtype '{clip(text)}': {why}."
        raise malformed("malformed_npy", f"dtype '{clip(text)}' is not read", detail)
    return np.dtype(text)


def _array(body: bytes, start: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    count = math.prod(shape)
    if count * dtype.itemsize != len(body) - start:
        held = f"{len(body) - start} bytes follow the header"
        raise _broken(f"its shape and dtype need {count * dtype.itemsize} bytes of values, and {held}")
    try:
        flat = np.frombuffer(body, dtype, count, start)
        array = flat.reshape(shape)
    except (ValueError, OverflowError):  # more axes, or longer ones, than an index has room for
        raise _broken("its shape is none an array can have") from None
    native = dtype.newbyteorder("=")
    if not flat.flags.aligned or dtype != native:
        flat = flat.astype(native)
        array = flat.reshape(shape)
    if dtype.kind == "U" and not _characters(flat):
        raise _broken("its texts hold what is no character")
    return array


def _characters(texts: NDArray[Any]) -> bool:
    """Whether all is Unicode: numpy takes any 32 bits for a character."""
    points = texts.view(np.uint32)
    return not points.size or bool(points.max() <= 0x10FFFF and not ((points >= 0xD800) & (points <= 0xDFFF)).any())


def _broken(why: str) -> MalformedRequest:
    return malformed("malformed_npy", why, f"The body is not an NPY file that is read here: {why}.")
