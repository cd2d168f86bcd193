"""What a caller presents to say who it is, read from its headers. Pure; nothing is checked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from foretell.errors import Unauthenticated

MAX_CREDENTIAL_BYTES = 8 * 1024
PROVED = "foretell.certificate"
"""The extension of a scope that holds what a caller proved when its connection began."""
KEY_PREFIX = b"ft_"
"""How an API key begins, wherever it is presented; a bearer token that begins otherwise is an issuer's."""


class Credential(NamedTuple):
    """``secret`` is a key or token as presented, or a certificate's name. ``repr`` never shows it."""

    kind: Literal["key", "token", "certificate"]
    secret: bytes

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def presented(headers: Iterable[tuple[bytes, bytes]]) -> Credential | None:
    """The credential among ``headers`` (names in lower case); None where there is none.

    Raises Unauthenticated where there are several that differ, or one that cannot be one.
    """
    found: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            found.append(_bearer(value))
        elif name == b"x-api-key":
            found.append(value.strip())
    if not found:
        return None
    secret = found[0]
    if any(other != secret for other in found[1:]):
        raise Unauthenticated("The request carries several credentials that differ. Send one.", code="credential_twice")
    if not secret:
        raise Unauthenticated("The credential is empty.", code="credential_unreadable")
    if len(secret) > MAX_CREDENTIAL_BYTES:
        raise invalid_credential()
    return Credential("key" if secret.startswith(KEY_PREFIX) else "token", secret)


def proved(scope: Mapping[str, Any]) -> Credential | None:
    """The certificate's name that the caller of this ASGI scope proved to be its own; None where it showed none."""
    found: Credential | None = scope.get("extensions", {}).get(PROVED, {}).get("credential")
    return found


def invalid_credential() -> Unauthenticated:
    """One and the same for a credential that is unknown, expired, revoked or forged."""
    return Unauthenticated("The credential is not valid: it is unknown, expired or revoked.", code="credential_invalid")


def _bearer(value: bytes) -> bytes:
    scheme, _, secret = value.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthenticated(
            "Only the Bearer scheme is taken: Authorization: Bearer KEY, or X-API-Key: KEY.", code="scheme_unknown"
        )
    return secret.strip()
