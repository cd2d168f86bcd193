"""The principals behind tokens: checked once, then known from memory until they are over."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import structlog

from foretell.core.access.credentials import Credential, invalid_credential
from foretell.core.access.principal import Principal
from foretell.core.access.token import TokenFault, read_token
from foretell.security.tokens.base import Bearer, Issuer, Verifying

MOST_REMEMBERED = 10_000

_log = structlog.get_logger("foretell.tokens")


class _Remembered(NamedTuple):
    bearer: Bearer
    ends_s: float
    key: Verifying


class TokenIdentities:
    """Knows the bearers of tokens of these issuers. Asked by the event loop alone.

    Tokens are remembered by their digest, ``MOST_REMEMBERED`` of them; a token's text is kept nowhere.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        clock: Callable[[], float] = time.time,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._clock = clock
        self._most = most_remembered
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._next_end_s = math.inf
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows when a token that was known is over, or its issuer has taken its key back."""
        # asked for every request; where no token is remembered there is nothing to look at the clock for
        if self._next_end_s != math.inf and self._clock() >= self._next_end_s:
            self._sweep()
        return self._generation

    def known(self, credential: Credential) -> Principal | None:
        """The bearer of a token that was checked before and still holds."""
        if credential.kind != "token":
            return None
        digest = hashlib.sha256(credential.secret).digest()
        found = self._remembered.get(digest)
        if found is None or self._clock() >= found.ends_s:
            return None
        self._remembered.move_to_end(digest)
        bearer = found.bearer
        return bearer.principal if bearer.again is None else bearer.again()

    def at_hand(self, credential: Credential) -> bool:
        """Whether the key that a token names is here, so that its signature can be checked at once."""
        try:
            token = read_token(credential.secret)
        except TokenFault:
            return False
        issuer = self._issuers.get(token.issuer)
        return issuer is not None and issuer.at_hand(token.claims, token.algorithm, token.kid)

    async def identify(self, credential: Credential) -> Principal:
        """The bearer. Raises Unauthenticated, and Unavailable where the issuer's keys cannot be had."""
        found = self.known(credential)
        if found is not None:
            return found
        try:
            return await self._checked(credential)
        except TokenFault as fault:
            _log.debug("token_refused", reason=str(fault))
            raise invalid_credential() from None

    def forget(self, keys: Collection[Verifying]) -> None:
        """Takes no token for known any more that one of these keys signed."""
        gone = {id(key) for key in keys}
        left = [(digest, entry) for digest, entry in self._remembered.items() if id(entry.key) not in gone]
        self._remembered = OrderedDict(left)
        self._generation += 1

    def __len__(self) -> int:
        """How many tokens are remembered."""
        return len(self._remembered)

    async def _checked(self, credential: Credential) -> Principal:
        if credential.kind != "token":
            raise TokenFault("it is no token")
        token = read_token(credential.secret)
        issuer = self._issuers.get(token.issuer)
        if issuer is None:
            raise TokenFault("nobody knows its issuer")
        if token.algorithm not in issuer.algorithms:
            raise TokenFault("its issuer does not sign like that")
        # ahead of the key: what cannot be taken anyhow makes nobody fetch anything
        await issuer.bearer(token.claims, self._clock())
        found = await issuer.find(token.algorithm, token.kid)
        if found is None:
            raise TokenFault("its issuer has no such key")
        key, reliable_s = found
        if not key.verifies(token.algorithm, token.signed, token.signature):
            raise TokenFault("its signature does not hold")
        now_s = self._clock()
        bearer = await issuer.bearer(token.claims, now_s)
        expires_s = math.inf if bearer.principal.expires_s is None else bearer.principal.expires_s
        self._remember(credential.secret, _Remembered(bearer, min(expires_s, now_s + reliable_s), key))
        return bearer.principal

    def _remember(self, token: bytes, entry: _Remembered) -> None:
        self._remembered[hashlib.sha256(token).digest()] = entry
        self._next_end_s = min(self._next_end_s, entry.ends_s)
        if len(self._remembered) > self._most:
            self._remembered.popitem(last=False)

    def _sweep(self) -> None:
        now_s = self._clock()
        left = [(digest, entry) for digest, entry in self._remembered.items() if entry.ends_s > now_s]
        self._remembered = OrderedDict(left)
        self._next_end_s = min((entry.ends_s for _, entry in left), default=math.inf)
        self._generation += 1
