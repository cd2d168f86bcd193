"""A bearer token as it is presented: a signed JWT in compact form, read strictly. Pure; nothing is trusted yet."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, NamedTuple, NoReturn

MAX_TOKEN_BYTES = 8 * 1024
MAX_KID_CHARS = 256

# the signature of an RSA key of 8,192 bits is the longest there is
_GRAMMAR = re.compile(rb"([A-Za-z0-9_-]{2,2048})\.([A-Za-z0-9_-]{2,8192})\.([A-Za-z0-9_-]{2,1366})")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
# what changes how a token is to be read; whatever else stands in a header (jku, jwk, x5u, x5c ...) is not looked at
_FOREIGN = ("crit", "b64", "enc", "zip", "cty")


class TokenFault(Exception):
    """Why a token is refused, in words for the server's own log: the caller is told one thing for all of them."""


class Unverified(NamedTuple):
    """What a token says of itself. ``signed`` is what ``signature`` is of."""

    algorithm: str
    kid: str | None
    issuer: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_token(token: bytes) -> Unverified:
    """The parts of a token. Raises TokenFault for whatever is not one and only one reading of a signed JWT."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenFault("it is too long")
    match = _GRAMMAR.fullmatch(token)
    if match is None:
        raise TokenFault("it is no signed JWT in compact form")
    header = _document(_decoded(match[1]), "header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if foreign := [name for name in _FOREIGN if name in header]:
        raise TokenFault(f"its header has {foreign[0]}")
    if not isinstance(algorithm, str):
        raise TokenFault("its header names no algorithm")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        raise TokenFault("its key id is no text that could be one")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenFault("it is of another type")
    claims = _document(_decoded(match[2]), "payload")
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise TokenFault("it names no issuer")
    return Unverified(algorithm, kid, issuer, claims, token[: match.end(2)], _decoded(match[3]))


def unpadded(data: bytes) -> bytes:
    """Base64 for URLs, as tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        raise TokenFault("a part of it is no base64") from None
    if unpadded(data) != segment:
        raise TokenFault("a part of it has bits left over")
    return data


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = read_json(data)
    except ValueError as error:
        raise TokenFault(f"its {name} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise TokenFault(f"its {name} is no object")
    return found


def read_json(data: bytes) -> Any:
    """JSON with no member twice and no number that is none. Raises ValueError, which shows nothing of ``data``."""
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_members,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is no JSON") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def _no_number(_: str) -> NoReturn:
    raise ValueError("a number is none")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > 19:
        raise ValueError("a number is too large")
    return int(text)
