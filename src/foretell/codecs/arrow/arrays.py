"""Columns as pyarrow has them become columns as validation takes them; numbers without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.codecs.arrow.library import too_large
from foretell.core.faults import clip
from foretell.core.frame import Cells, Frame
from foretell.core.limits import BodyLimits

_TICKS = {"s": 1_000_000, "ms": 1000, "us": 1}  # microseconds in one; a nanosecond is less than one
_FURTHEST_US = 10**18  # far beyond the year 9999, where no moment is taken
_EXACT_DIGITS = 18  # as many fit into an int64


def readable(kind: Any) -> bool:
    """Whether values of a pyarrow type can be what a column of a model takes."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return not types.is_dictionary(kind.value_type) and readable(kind.value_type)
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return textual(kind) or any(fits(kind) for fits in plain) or (types.is_timestamp(kind) and kind.tz is not None)


def textual(kind: Any) -> bool:
    """Whether values of a pyarrow type are texts."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def frame_of(schema: Any, read: Mapping[int, Any], count: int, limits: BodyLimits) -> Frame:
    """The columns of ``schema``, in order; ``read`` has those of them that were read, by their place.

    Raises BodyTooLarge where they would take more than ``limits.max_decoded_bytes``.
    """
    if count * len(read) * 8 > limits.max_decoded_bytes:
        raise too_large(limits)
    columns = tuple(
        _cells(_combined(read[place]), limits) if place in read else _foreign(field.type, count)
        for place, field in enumerate(schema)
    )
    return Frame(tuple(schema.names), columns, count)


def _combined(column: Any) -> Any:
    """One array of the chunks of a column; those of a dictionary have one dictionary from then on."""
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _foreign(kind: Any, count: int) -> Cells:
    """A column whose values are none that a model takes; a nested type may take megabytes of words to tell."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        name = "timestamp without a time zone"
    else:
        name = "nested value" if pa.types.is_nested(kind) or pa.types.is_dictionary(kind) else clip(str(kind))
    return Cells(np.zeros(count), foreign=name)


def _cells(array: Any, limits: BodyLimits) -> Cells:
    import pyarrow as pa

    kind, types = array.type, pa.types
    nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if types.is_dictionary(kind):
        return _encoded(array, nulls, limits)
    if textual(kind):
        return Cells(_texts(array, limits), nulls)
    if types.is_timestamp(kind):
        return Cells(_moments(_buffer(array, np.dtype(np.int64)), kind.unit), nulls)
    if types.is_null(kind):
        return Cells(np.zeros(len(array)), np.ones(len(array), dtype=np.bool_))
    if types.is_boolean(kind):
        return Cells(array.fill_null(False).to_numpy(zero_copy_only=False), nulls)
    if types.is_decimal(kind):
        whole = kind.scale == 0 and kind.precision <= _EXACT_DIGITS
        array = array.cast(pa.int64() if whole else pa.float64())
    return Cells(_buffer(array, np.dtype(array.type.to_pandas_dtype())), nulls)


def _buffer(array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values of an array of fixed width where they lie; what stands in place of a null is anything."""
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)


def _texts(array: Any, limits: BodyLimits) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_string_view(array.type) and view_lengths(array).sum() > limits.max_decoded_bytes:
        raise too_large(limits)  # many views may show the same long text
    texts: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return texts


def view_lengths(array: Any) -> NDArray[np.int64]:
    """The lengths of texts that are views; of what stands in place of a null, any."""
    views = array.buffers()[1]
    if views is None:
        return np.zeros(len(array), dtype=np.int64)
    return np.frombuffer(views, np.int32, 4 * len(array), 16 * array.offset)[::4].astype(np.int64)


def _moments(ticks: NDArray[Any], unit: str) -> NDArray[Any]:
    """Ticks of a unit since 1970 as datetime64[us]; digits beyond microseconds are cut off, as in RFC 3339 texts."""
    if unit == "ns":
        micros: NDArray[Any] = np.floor_divide(ticks, 1000).view("datetime64[us]")
        return micros
    furthest = _FURTHEST_US // _TICKS[unit]
    made: NDArray[Any] = (np.clip(ticks, -furthest, furthest) * _TICKS[unit]).view("datetime64[us]")
    return made


def _encoded(array: Any, nulls: NDArray[np.bool_] | None, limits: BodyLimits) -> Cells:
    """A dictionary array, of whose dictionary only the values that are used are looked at."""
    import pyarrow as pa

    codes = array.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    given = np.ones(len(codes), dtype=np.bool_) if nulls is None else ~nulls
    used, places = np.unique(codes[given], return_inverse=True)
    cells = _cells(array.dictionary.take(pa.array(used)), limits)
    positions = np.zeros(len(codes), dtype=np.int64)
    positions[given] = places
    absent = ~given
    if cells.nulls is not None:  # a null may stand in the dictionary, too
        absent |= given & cells.nulls[positions]
    if textual(array.type.value_type):
        texts = tuple("" if text is None else text for text in cells.values.tolist())
        return Cells(positions, absent, categories=texts)
    values = cells.values[positions] if len(used) else np.zeros(len(codes), dtype=cells.values.dtype)
    return Cells(values, absent)
