"""Where the owner of an API key gets a token for it (RFC 6749, client credentials)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from foretell.core.access.api_key import id_of
from foretell.core.access.credentials import Credential
from foretell.core.access.decision import Action
from foretell.core.access.scopes import SCOPES, Scope, unknown_scopes
from foretell.errors import Unauthenticated
from foretell.security.gate import Gate
from foretell.security.tokens.own import OwnIssuer, written

MAX_SCOPES = 64
_TRADE = Action("known")
_OWNED = Action("admin")
"""What no stranger may do: so whoever presents a key is looked for, however open the server is."""

Trouble = Literal["invalid_client", "invalid_scope"]


class TradeRefused(Exception):
    """Why there is no token, by the name that RFC 6749 has for it."""

    def __init__(self, trouble: Trouble, why: str) -> None:
        super().__init__(why)
        self.trouble = trouble
        self.why = why


class TokenDesk:
    """Trades keys for tokens that are valid for ``lifetime_s`` at most."""

    def __init__(self, issuer: OwnIssuer, gate: Gate, lifetime_s: float) -> None:
        self._issuer = issuer
        self._gate = gate
        self._lifetime_s = lifetime_s

    @property
    def name(self) -> str:
        """What the tokens name as their issuer."""
        return self._issuer.name

    @property
    def published(self) -> Callable[[], dict[str, Any]]:
        """The keys by which anybody can check the tokens, as a JWK set."""
        return self._issuer.keys.published

    async def trade(self, client_id: str, secret: bytes, scope: str | None, address: str) -> dict[str, Any]:
        """A token for the key whose id and text these are, as RFC 6749 answers.

        ``scope`` names those wanted, with spaces between them; None: all that the key has. Raises TradeRefused,
        RateLimited for an address that guesses or a key that has used up what it may, and Forbidden.
        """
        try:
            principal = await self._gate.identify(Credential("key", secret), _OWNED, address, loopback=False)
        except Unauthenticated:
            raise _stranger() from None
        key_id = id_of(secret)
        # where everything is open anybody is somebody, but only the owner of a key gets its token
        if principal.kind != "key" or key_id is None or key_id != client_id:
            self._gate.limiter.failed(address)
            raise _stranger()
        scopes = _wanted(scope)
        if scopes is None:
            scopes = principal.scopes
        elif more := [each for each in scopes if not principal.has(each)]:
            raise TradeRefused("invalid_scope", f"the key does not have {written(frozenset(more))}")
        await self._gate.admit(principal, _TRADE, address)
        made = self._issuer.mint(key_id, principal, scopes, self._lifetime_s)
        if made is None:
            raise _stranger()
        token, expires_in = made
        return {"access_token": token, "token_type": "Bearer", "expires_in": expires_in, "scope": written(scopes)}


def _wanted(scope: str | None) -> frozenset[Scope] | None:
    names = [] if scope is None else [name for name in scope.split(" ") if name]
    if not names:
        return None
    if len(names) > MAX_SCOPES or unknown_scopes(names):
        raise TradeRefused("invalid_scope", f"there are the scopes {', '.join(SCOPES)}")
    return frozenset(each for each in SCOPES if each in names)


def _stranger() -> TradeRefused:
    return TradeRefused("invalid_client", "client_id and client_secret are not the id and the text of a valid API key")
