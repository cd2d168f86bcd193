"""Outside issuers: with keys of their own that are fetched, or with a secret that the server has, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from foretell.core.access.claims import Rules, principal_of
from foretell.security.tokens.base import Bearer
from foretell.security.tokens.remote import RemoteKeys
from foretell.security.tokens.signatures import VerifyingKey


class OutsideIssuer:
    """An issuer by its rules. Its tokens are signed with one of its ``keys``, or made with a
    secret, which is the one key then."""

    def __init__(self, rules: Rules, algorithms: frozenset[str], keys: RemoteKeys | VerifyingKey) -> None:
        self.name = rules.issuer
        self.algorithms = algorithms
        self._rules = rules
        self._keys = keys

    def at_hand(self, claims: Mapping[str, Any], algorithm: str, kid: str | None) -> bool:  # noqa: ARG002  # the port's shape
        """Whether the key of that id is here."""
        if isinstance(self._keys, RemoteKeys):
            return self._keys.holds(algorithm, kid)
        return algorithm in self.algorithms

    async def bearer(self, claims: Mapping[str, Any], now_s: float) -> Bearer:
        """Whom the claims mean. Raises TokenFault."""
        return Bearer(principal_of(claims, self._rules, now_s))

    async def find(self, algorithm: str, kid: str | None) -> tuple[VerifyingKey, float] | None:
        """The key of that id; a secret has no id. Raises Unavailable."""
        if isinstance(self._keys, RemoteKeys):
            return await self._keys.find(algorithm, kid)
        return self._keys, math.inf
