"""The keys that the server signs its own tokens with, made of the pepper (ADR 28).

Every process that shares the pepper makes the same ones, so nothing has to be stored, agreed upon or handed out. There
is a new one every 30 days; the one before and the next one are known, too. cryptography is imported at first use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from foretell.security.tokens.signatures import VerifyingKey

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

ALGORITHM = "ES256"
EPOCH_S = 30 * 86_400

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the points of P-256."""


class OwnKeys:
    """Signs with the key of the day; tells whether a signature is one of its keys'."""

    def __init__(self, digest: Callable[[bytes], bytes], clock: Callable[[], float] = time.time) -> None:
        self._digest = digest
        self._clock = clock
        self._key = lru_cache(8)(self._make)

    def sign(self, claims: bytes) -> str:
        """The token with these claims."""
        from joserfc import jws

        key, public = self._key(self._epoch())
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": public.kid}
        return jws.serialize_compact(header, claims, key, algorithms=[ALGORITHM])

    def find(self, kid: str | None) -> VerifyingKey | None:
        """The key of this id; None where it is none of those in use."""
        return next((public for _, public in self._in_use() if public.kid == kid), None)

    def published(self) -> dict[str, Any]:
        """The JWK set by which anybody can check the tokens; the next key stands in it a month ahead."""
        named = {"use": "sig", "alg": ALGORITHM}
        return {"keys": [{**key.as_dict(private=False), **named, "kid": public.kid} for key, public in self._in_use()]}

    def _in_use(self) -> list[tuple[ECKey, VerifyingKey]]:
        epoch = self._epoch()
        return [self._key(each) for each in (epoch, epoch - 1, epoch + 1)]

    def _epoch(self) -> int:
        return int(self._clock() // EPOCH_S)

    def _make(self, epoch: int) -> tuple[ECKey, VerifyingKey]:
        from cryptography.hazmat.primitives.asymmetric import ec
        from joserfc.jwk import ECKey

        label = f"foretell: tokens are signed with this in month {epoch}, part "
        random = b"".join(self._digest(f"{label}{part}".encode()) for part in (1, 2))
        # 512 bits brought below the order: no number is likelier than another by more than 2^-256
        number = int.from_bytes(random, "big") % (_ORDER - 1) + 1
        key = ECKey.import_key(ec.derive_private_key(number, ec.SECP256R1()))
        kid = key.thumbprint()
        return key, VerifyingKey(kid, frozenset({ALGORITHM}), kid.encode(), key)
