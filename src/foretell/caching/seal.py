"""Values as they lie in a store that others can write to: each says which key it is for and until when, and is signed.

    magic 4 | key 20 | signature 20 | until 8 (seconds since the epoch, float64) | payload

A value that was changed, cut, moved to another key or written without the secret is not believed. Pure.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import blake2b

from foretell.caching.keys import KEY_BYTES, derived

_MAGIC = b"FTA1"
_SIGNATURE_BYTES = 20
_UNTIL = struct.Struct("<d")
_SIGNED_FROM = len(_MAGIC) + KEY_BYTES + _SIGNATURE_BYTES
OVERHEAD_BYTES = _SIGNED_FROM + _UNTIL.size


class Seal:
    """Seals and opens values with one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = derived(secret, b"foretell seal")

    def close(self, key: bytes, payload: bytes, until_s: float) -> bytes:
        """The payload, sealed for ``key``."""
        signed = _UNTIL.pack(until_s) + payload
        return b"".join((_MAGIC, key, self._signature(key, signed), signed))

    def open(self, key: bytes, sealed: bytes) -> tuple[bytes, float]:
        """The payload and until when it holds. Raises ValueError for whatever was not sealed for ``key``."""
        if len(sealed) < OVERHEAD_BYTES or not sealed.startswith(_MAGIC + key):
            raise ValueError("not a value for this key")
        signature, signed = sealed[_SIGNED_FROM - _SIGNATURE_BYTES : _SIGNED_FROM], sealed[_SIGNED_FROM:]
        if not hmac.compare_digest(signature, self._signature(key, signed)):
            raise ValueError("the signature does not match")
        (until_s,) = _UNTIL.unpack_from(signed)
        return signed[_UNTIL.size :], until_s

    def _signature(self, key: bytes, signed: bytes) -> bytes:
        return blake2b(key + signed, digest_size=_SIGNATURE_BYTES, key=self._secret).digest()
