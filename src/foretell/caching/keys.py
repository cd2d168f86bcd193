"""Keys: equal questions to one version have equal keys, and different ones different keys. Pure.

A key is a keyed BLAKE2b over parts that each stand after their length, so that no two lists of parts read alike. It is
made from *validated* inputs: how a number was written, in which order the columns stood and in which format they came
is gone by then. What stays apart, if only in a bit (0.0 and -0.0), stays apart here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from foretell.core.identity import Ref
from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Table

KEY_BYTES = 20
FORMAT = b"foretell answer 1"

_TEXTS = frozenset({str, type(None)})
_encode = msgspec.msgpack.Encoder().encode


def derived(secret: str, purpose: bytes) -> bytes:
    """A key of 32 bytes for one ``purpose`` (at most 16 bytes)."""
    return blake2b(secret.encode(), digest_size=32, person=purpose).digest()


class Keys:
    """The keys of one version. Whoever lacks ``secret`` can neither make a key nor try out which inputs it stands for.

    The signature is part of them: a store outlives the server, and a manifest may have been corrected meanwhile.
    """

    def __init__(self, secret: str, ref: Ref, digest: str, signature: Signature) -> None:
        self._state = blake2b(digest_size=KEY_BYTES, key=derived(secret, b"foretell key"))
        described = json.dumps(signature.to_document(), sort_keys=True, default=str)
        for part in (FORMAT, digest.encode(), ref.model.encode(), ref.version.encode(), described.encode()):
            _put(self._state, part)

    def key(self, inputs: Inputs, outputs: Sequence[str] = (), tenant: str = "") -> bytes:
        """The key of ``inputs``; ``outputs`` are those asked for by name (none: whatever the model gives).

        Raises TypeError where the inputs hold what no validated inputs hold.
        """
        state = self.begun(outputs, tenant)
        if isinstance(inputs, Matrix):
            _put(state, b"matrix")
            _array(state, inputs.values)
            return bytes(state.digest())
        kind, named = (b"table", inputs.columns) if isinstance(inputs, Table) else (b"tensors", inputs.arrays)
        _put(state, kind)
        for name, array in named.items():
            _put(state, name.encode("utf-8", "surrogatepass"))
            _array(state, array)
        return bytes(state.digest())

    def begun(self, outputs: Sequence[str] = (), tenant: str = "") -> Any:
        """The hash of a key as far as it goes without inputs: a state of its own, to be gone on with."""
        state: Any = self._state.copy()
        _put(state, tenant.encode())
        _put(state, b"".join(framed(name.encode()) for name in outputs))
        return state


def framed(part: bytes) -> bytes:
    """A part as it stands in what is hashed: after its length."""
    return len(part).to_bytes(8, "little") + part


def shape_of(*lengths: int) -> bytes:
    """The shape of an array as it stands in what is hashed, unframed."""
    return np.array(lengths, dtype="<i8").tobytes()


def _put(state: Any, part: bytes) -> None:
    state.update(len(part).to_bytes(8, "little"))
    state.update(part)


def _array(state: Any, array: NDArray[Any]) -> None:
    if array.dtype.kind == "O":
        _put(state, b"texts")
        _put(state, shape_of(*array.shape))
        _put(state, packed_texts(array.ravel().tolist()))
        return
    dtype = array.dtype.newbyteorder("<")
    _put(state, dtype.str.encode())
    _put(state, shape_of(*array.shape))
    _put(state, _one_nan(array).astype(dtype, copy=False).tobytes())


def _one_nan(array: NDArray[Any]) -> NDArray[Any]:
    """The array with every NaN of the same bits: here they are nulls, and one null is like another."""
    if array.dtype.kind != "f":
        return array
    nulls = np.isnan(array)
    return np.where(nulls, array.dtype.type(np.nan), array) if nulls.any() else array


def packed_texts(cells: list[Any]) -> bytes:
    """Texts and nulls as MessagePack, where each stands after its kind and length. Raises TypeError for others."""
    if not set(map(type, cells)) <= _TEXTS:
        raise TypeError("something else where texts were expected")
    try:
        return _encode(cells)
    except UnicodeEncodeError:
        raise TypeError("half a surrogate pair, which is no text") from None
