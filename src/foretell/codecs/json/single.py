"""The fast way for one row: ``features`` as a list or an object, or the columns at the top level.

msgspec checks types and bounds while it reads; what it would not notice is a key that stands twice. That is found by
counting: a body without a backslash has half as many strings as quotes, and each is a key or a value that is a string.
More strings than the row accounts for means a key too many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from foretell.codecs.json.shapes import UNSET, Shapes
from foretell.core.cells import read_datetime
from foretell.core.signature import Signature
from foretell.core.values import Row

Single = Callable[[bytes], Row | None]

_FEATURES = b'"features"'


def single_decoder(signature: Signature, shapes: Shapes) -> Single:
    """A reader of single bodies; see ``codecs.base.Decoders``."""
    mixed = _mixed_decoder(signature, shapes)
    if shapes.texts:
        return mixed
    decode = msgspec.json.Decoder(_body(shapes.listed)).decode

    def single(body: bytes) -> Row | None:
        # two quotes are one string, the key itself: nothing can stand twice
        if body.count(b'"') != 2:
            return mixed(body)
        try:
            row: Row = decode(body).features
        except ValueError:
            return mixed(body)  # one column alone may stand at the top level
        return row

    return single


def _body(features: Any) -> Any:
    return msgspec.defstruct("Body", [("features", features)], forbid_unknown_fields=True, gc=False)


def _mixed_decoder(signature: Signature, shapes: Shapes) -> Single:
    """A reader of every form."""
    inside = shapes.listed if shapes.named is None else shapes.listed | shapes.named
    decode_features = msgspec.json.Decoder(_body(inside)).decode
    decode_top_level = None
    if shapes.named is not None and shapes.top_level:
        decode_top_level = msgspec.json.Decoder(shapes.named).decode
    columns = len(signature.columns)

    def mixed(body: bytes) -> Row | None:
        if b"\\" in body:
            return None
        keys = 0
        try:
            if _FEATURES in body:
                row = decode_features(body).features
                keys = 1
            elif decode_top_level is not None:
                row = decode_top_level(body)
            else:
                return None
        except ValueError:
            return None
        if type(row) is not tuple:
            row = msgspec.structs.astuple(row)
            keys += columns
        return _settled(row, keys, body, shapes)

    return mixed


def _settled(row: tuple[Any, ...], keys: int, body: bytes, shapes: Shapes) -> Row | None:
    """The row where the body holds as many strings as it must; ``keys`` counts keys as if none was left out."""
    strings = keys + len(shapes.texts)
    if shapes.any_nullable:
        for index in shapes.texts:
            if row[index] is None or row[index] is UNSET:
                strings -= 1
        if UNSET in row:
            strings -= row.count(UNSET)
            row = tuple([None if value is UNSET else value for value in row])
    if body.count(b'"') != 2 * strings:
        return None
    return _with_datetimes(row, shapes) if shapes.datetimes else row


def _with_datetimes(row: tuple[Any, ...], shapes: Shapes) -> Row | None:
    values = list(row)
    for index in shapes.datetimes:
        if values[index] is not None:
            values[index] = read_datetime(values[index])
            if values[index] is None:
                return None
    return values
