"""Keys that signatures are checked with, each for one kind of algorithm alone. joserfc is imported at first use."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

from foretell.core.access.token import read_json, unpadded

if TYPE_CHECKING:
    from joserfc.jwk import Key

MAX_KEYS = 100
RSA_BITS = range(2048, 8193)
_MAX_EXPONENT_CHARS = 6  # of base64: 32 bits, beyond which a check takes longer than it may
_MAX_MODULUS_CHARS = 1376
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_HMAC = frozenset({"HS256", "HS384", "HS512"})
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


class VerifyingKey:
    """One key. ``fits`` are the algorithms it may be used with; ``material`` tells it from others."""

    __slots__ = ("_key", "fits", "kid", "material")

    def __init__(self, kid: str | None, fits: frozenset[str], material: bytes, key: Key) -> None:
        self.kid = kid
        self.fits = fits
        self.material = material
        self._key = key

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is of ``signed``, by this key and an algorithm that fits it."""
        from joserfc.errors import JoseError
        from joserfc.jws import JWSRegistry

        if algorithm not in self.fits:
            return False
        # RFC 9864 gave EdDSA with Ed25519 a name of its own; here the key decides that it is Ed25519
        model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
        try:
            model.check_key(self._key)
            return model.verify(signed, signature, self._key)
        except (JoseError, ValueError):
            return False


def secret_key(secret: bytes) -> VerifyingKey:
    """The key of an issuer that shares a secret. Raises ValueError for what is no secret, but a public key."""
    from joserfc.jwk import OctKey

    key = OctKey.import_key({"kty": "oct", "k": unpadded(secret).decode()})
    return VerifyingKey(None, _HMAC, hashlib.sha256(secret).digest(), key)


def read_keys(document: bytes) -> list[VerifyingKey]:
    """The keys of a JWK set that signatures can be checked with; those that are of another kind are left out.

    Raises ValueError where it is no JWK set, or none of its keys can be used.
    """
    found = read_json(document)
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"it is no JWK set of {MAX_KEYS} keys at most")
    keys = [key for each in listed if (key := _read_key(each)) is not None]
    if not keys:
        raise ValueError("it holds no key that signatures can be checked with")
    return keys


def _read_key(given: Any) -> VerifyingKey | None:
    if not isinstance(given, dict) or given.get("use", "sig") != "sig" or "d" in given:
        return None
    operations = given.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    kind = given.get("kty")
    members = {name: given.get(name) for name in _MEMBERS.get(str(kind), ())}
    fits, kid, named = _fits(kind, members), given.get("kid"), given.get("alg")
    if named is not None:
        fits &= frozenset(("EdDSA",) if named == "Ed25519" else (str(named),))
    if not fits or not all(isinstance(value, str) for value in members.values()):
        return None
    return _imported({"kty": kind, **members}, kid if isinstance(kid, str) else None, fits)


def _fits(kind: Any, members: dict[str, Any]) -> frozenset[str]:
    if kind == "RSA":
        modulus, exponent = members["n"], members["e"]
        sound = isinstance(exponent, str) and len(exponent) <= _MAX_EXPONENT_CHARS and _bits(modulus) in RSA_BITS
        return _RSA if sound else frozenset()
    if kind == "EC":
        return frozenset({_CURVES[members["crv"]]}) if members["crv"] in _CURVES else frozenset()
    return frozenset({"EdDSA"}) if kind == "OKP" and members["crv"] == "Ed25519" else frozenset()


def _bits(modulus: Any) -> int:
    """How many bits a modulus has, in base64; 0 where it is none."""
    if not isinstance(modulus, str) or len(modulus) > _MAX_MODULUS_CHARS or not modulus.isascii():
        return 0
    try:
        return int.from_bytes(urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)), "big").bit_length()
    except ValueError:
        return 0


def _imported(members: dict[str, Any], kid: str | None, fits: frozenset[str]) -> VerifyingKey | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    try:
        key = JWKRegistry.import_key(members)
        material = hashlib.sha256(key.thumbprint().encode()).digest()
    except (JoseError, ValueError, TypeError):  # a point that is on no curve, base64 that is none
        return None
    return VerifyingKey(kid, fits, material, key)
