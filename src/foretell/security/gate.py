"""The gate: who calls, may they, and is there any left. The middleware and the lane ask the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from foretell.core.access.address import network_of
from foretell.core.access.credentials import Credential, invalid_credential
from foretell.core.access.decision import Action, Rule, decide
from foretell.core.access.principal import Principal
from foretell.core.access.principal import anonymous as anonymous_principal
from foretell.errors import Forbidden, Unauthenticated
from foretell.security.base import Identities, Limiter

Anonymous = Callable[[bool], Principal]
"""Who a caller without a credential is; the argument says whether it came over a loopback address of this machine."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller that was let in. ``model`` is the one it was let in for; None where it asked of none.

    ``rows_paid`` were charged with the request already. ``footing`` is for answers that take long; without it the
    caller is not asked again.
    """

    principal: Principal
    address: str
    model: str | None
    limiter: Limiter
    rows_paid: int = 0
    footing: Footing | None = None

    @property
    def caller(self) -> str | None:
        """Who counts as one where something is shared out; None: a stranger on this machine, where all look alike."""
        if self.principal.kind != "anonymous":
            return self.principal.id
        return None if self.footing is None or self.footing.loopback else network_of(self.address)

    async def charge_rows(self, rows: int) -> None:
        """To be called once the request's rows are counted, before they run. Raises RateLimited."""
        rows -= self.rows_paid
        if not self.limiter.spend(self.principal, self.address, self.model, 0, rows):
            await self.limiter.charge(self.principal, self.address, self.model, 0, rows)

    async def recheck(self) -> None:
        """To be called again and again while an answer goes on: whether the caller would still be let in.

        Raises Unauthenticated or Forbidden where not. Costs next to nothing as long as no credential changes.
        """
        if self.footing is not None:
            await self.footing.recheck()


class Footing:
    """What a caller was let in with, to be looked at again once a key was revoked or a token is over.

    ``generation`` is the gate's from before it was asked who calls.
    """

    __slots__ = ("_action", "_credential", "_gate", "_generation", "_principal", "loopback")

    def __init__(
        self,
        gate: Gate,
        generation: int,
        principal: Principal,
        action: Action,
        credential: Credential | None,
        *,
        loopback: bool,
    ) -> None:
        self._gate = gate
        self._generation = generation
        self._principal = principal
        self._action = action
        self._credential = credential
        self.loopback = loopback

    async def recheck(self) -> None:
        """See ``Admission``."""
        generation = self._gate.generation
        if generation == self._generation:
            return
        principal = await self._gate.recall(self._credential, loopback=self.loopback)
        if principal.kind == "anonymous" and self._principal.kind != "anonymous":
            raise invalid_credential()  # strangers may be welcome, but what it does is counted as somebody's
        decision = decide(principal, self._action)
        if not decision.allowed:
            raise refused(self._action, decision.rule)
        self._generation = generation


class Gate:
    """Identifies, authorises and charges. All methods are called from the event loop's thread."""

    def __init__(
        self, identities: Mapping[str, Identities], limiter: Limiter, anonymous: Anonymous, clock: Callable[[], float]
    ) -> None:
        """``identities`` by the kind of credential they know; ``clock`` gives seconds since the epoch.

        ``nobody`` is who is let in to what is public.
        """
        self._identities = dict(identities)
        self._each = tuple({id(each): each for each in identities.values()}.values())
        self._anonymous = anonymous
        self._clock = clock
        self.limiter = limiter
        self.nobody = anonymous_principal(frozenset())

    @property
    def generation(self) -> int:
        """Grows whenever an earlier answer of ``recognise`` may be wrong now."""
        number = 0
        for each in self._each:
            number += each.generation
        return number

    def recognise(self, credential: Credential | None, *, loopback: bool) -> Principal | None:
        """The caller, if memory alone can tell; None sends it the ordinary way. Valid while ``generation`` stands.

        Where strangers are welcome, a credential that memory does not know makes one neither more nor less so: clients
        send keys that they were once set up with, and gateways their own.
        """
        if credential is not None:
            identities = self._identities.get(credential.kind)
            principal = None if identities is None else identities.known(credential)
            if principal is not None and not self.expired(principal):
                return principal
        stranger = self._anonymous(loopback)
        return stranger if credential is None or stranger.scopes else None

    def expired(self, principal: Principal) -> bool:
        """Whether the time of a principal is over."""
        return principal.expires_s is not None and principal.expires_s <= self._clock()

    async def identify(
        self, credential: Credential | None, action: Action, address: str, *, loopback: bool
    ) -> Principal:
        """The caller, who is looked for further than in memory where that knows nobody who may do ``action``.

        Raises Unauthenticated, and RateLimited where the address has guessed too often.
        """
        principal = self.recognise(credential, loopback=loopback)
        if credential is None or (principal is not None and principal.kind != "anonymous"):
            return principal or self.nobody
        if principal is not None and decide(principal, action).allowed:
            return principal
        if credential.kind not in self._identities:
            raise invalid_credential()
        identities = self._identities[credential.kind]
        at_hand = identities.at_hand(credential)
        if not at_hand:  # else the right ones are let in, whoever guesses beside them
            await self.limiter.suspect(address)
        try:
            principal = await identities.identify(credential)
        except Unauthenticated:
            if at_hand:
                await self.limiter.suspect(address)
            self.limiter.failed(address)
            raise
        if self.expired(principal):
            raise invalid_credential()
        return principal

    async def recall(self, credential: Credential | None, *, loopback: bool) -> Principal:
        """The caller who was let in with ``credential`` a while ago. To have lost it is no wrong guess.

        Raises Unauthenticated.
        """
        principal = self.recognise(credential, loopback=loopback)
        if principal is not None:
            return principal
        identities = None if credential is None else self._identities.get(credential.kind)
        if credential is None or identities is None:
            raise invalid_credential()
        principal = await identities.identify(credential)  # memory holds so many tokens, and may have let go of it
        if self.expired(principal):
            raise invalid_credential()
        return principal

    async def admit(
        self, principal: Principal, action: Action, address: str, footing: Footing | None = None
    ) -> Admission:
        """Lets ``principal`` do ``action``, and charges one request. Raises Unauthenticated, Forbidden, RateLimited."""
        decision = decide(principal, action)
        if not decision.allowed:
            raise refused(action, decision.rule)
        if action.need != "public" and not self.limiter.spend(principal, address, action.model, 1, 0):
            await self.limiter.charge(principal, address, action.model, 1, 0)
        return Admission(principal, address, action.model, self.limiter, footing=footing)


def refused(action: Action, rule: Rule) -> Unauthenticated | Forbidden:
    """What is said to a caller who may not do ``action``."""
    if rule == "credential_missing":
        return Unauthenticated(
            "This needs a credential, and the request carries none.",
            hint="send Authorization: Bearer KEY, or X-API-Key: KEY; foretell keys create NAME makes a key",
        )
    if rule == "model_not_allowed":
        return Forbidden("This credential does not reach this model.", code="model_not_allowed")
    if action.need == "known":
        return Forbidden("This credential has no scope at all.", code="scope_missing")
    return Forbidden(f"This needs the scope {action.need}, which the credential does not have.", code="scope_missing")
