"""The server as the issuer of tokens for its own API keys."""

from __future__ import annotations

import hmac
import json
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from foretell.core.access.claims import LEEWAY_S, MAX_AGE_S, Rules, checked_audience, checked_times
from foretell.core.access.principal import Principal
from foretell.core.access.scopes import SCOPES, Scope
from foretell.core.access.token import TokenFault, unpadded
from foretell.security.keys.keyring import Held, Keyring
from foretell.security.tokens.base import Bearer
from foretell.security.tokens.own_keys import ALGORITHM, OwnKeys
from foretell.security.tokens.signatures import VerifyingKey

_TIED_CHARS = 22


class OwnIssuer:
    """Makes tokens for keys, and knows them again on every worker that has the same keys and pepper.

    A token means its key, with the same or fewer scopes: it shares the key's limits, tenant and models, and ends with
    it. It is tied to the key by a digest that only somebody with both the database and the pepper can make.
    """

    algorithms = frozenset({ALGORITHM})

    def __init__(
        self, name: str, keyring: Keyring, digest: Callable[[bytes], bytes], clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self.keys = OwnKeys(digest, clock)
        self._keyring = keyring
        self._digest = digest
        self._clock = clock
        self._rules = Rules(name, frozenset({name}))

    def mint(
        self, key_id: str, owner: Principal, scopes: frozenset[Scope], lifetime_s: float
    ) -> tuple[str, int] | None:
        """A token for the key of this id, and how many seconds it is valid; None where it is no key of ``owner``'s."""
        held = self._keyring.holds(key_id)
        if held is None or held.principal != owner:
            return None
        now_s = int(self._clock())
        ends_s = int(min(now_s + lifetime_s, held.ends_s))
        claims = {
            "iss": self.name,
            "sub": held.principal.id,
            "aud": self.name,
            "client_id": key_id,
            "iat": now_s,
            "exp": ends_s,
            "jti": secrets.token_urlsafe(12),
            "scope": written(scopes),
            "tie": self._tie(held),
        }
        return self.keys.sign(json.dumps(claims, separators=(",", ":")).encode()), ends_s - now_s

    def at_hand(self, claims: Mapping[str, Any], algorithm: str, kid: str | None) -> bool:
        """Whether the key that signed and the API key that is meant are here; for another the database is looked at."""
        key_id = claims.get("client_id")
        known = isinstance(key_id, str) and self._keyring.holds(key_id) is not None
        return known and algorithm in self.algorithms and self.keys.find(kid) is not None

    async def bearer(self, claims: Mapping[str, Any], now_s: float) -> Bearer:
        """The key that the claims mean. Raises TokenFault."""
        checked_audience(claims, self._rules)
        expires_s = checked_times(claims, LEEWAY_S, MAX_AGE_S, now_s)
        key_id, tie, given = (claims.get(name) for name in ("client_id", "tie", "scope"))
        if not (isinstance(key_id, str) and isinstance(tie, str) and isinstance(given, str)):
            raise TokenFault("it names no key")
        held = self._keyring.holds(key_id)
        if held is None and self._keyring.refresh is not None:
            await self._keyring.refresh()  # another process may have made the key, and the token, a moment ago
            held = self._keyring.holds(key_id)
        if held is None or not tie.isascii() or not hmac.compare_digest(tie, self._tie(held)):
            raise TokenFault("its key is no longer there")
        asked = frozenset(given.split(" "))
        known = held
        principal = _narrowed(held, asked, expires_s)

        def again() -> Principal | None:
            nonlocal known, principal
            held = self._keyring.holds(key_id)
            if held is None:
                return None
            if held is not known:
                known, principal = held, _narrowed(held, asked, expires_s)
            held.used_s = self._clock()
            return principal

        return Bearer(principal, again)

    async def find(self, algorithm: str, kid: str | None) -> tuple[VerifyingKey, float] | None:  # noqa: ARG002  # the port's shape
        """The key of that id."""
        key = self.keys.find(kid)
        return None if key is None else (key, math.inf)

    def _tie(self, held: Held) -> str:
        return unpadded(self._digest(b"foretell: a token of the key " + held.digest)).decode()[:_TIED_CHARS]


def written(scopes: frozenset[Scope]) -> str:
    """Scopes as tokens and answers have them."""
    return " ".join(scope for scope in SCOPES if scope in scopes)


def _narrowed(held: Held, asked: frozenset[str], expires_s: float) -> Principal:
    """The key's principal with those scopes alone that were asked for, and that it still has."""
    scopes: frozenset[Scope] = frozenset(scope for scope in SCOPES if scope in asked and held.principal.has(scope))
    return replace(held.principal, kind="token", scopes=scopes, expires_s=min(expires_s, held.ends_s))
