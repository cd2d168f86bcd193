"""The security ports: who stands behind a credential, and how much of what they have used up."""

from __future__ import annotations

from typing import Protocol

from foretell.core.access.credentials import Credential
from foretell.core.access.principal import Principal


class Identities(Protocol):
    """Knows the principals behind credentials of one kind or several."""

    @property
    def generation(self) -> int:
        """Grows whenever an earlier answer of ``known`` may be wrong now: a key was revoked, a token has expired."""
        ...

    def known(self, credential: Credential) -> Principal | None:
        """The principal, if memory alone can tell; None sends the caller to ``identify``. A microsecond or so."""
        ...

    def at_hand(self, credential: Credential) -> bool:
        """Whether ``identify`` would tell from memory alone: nobody is asked, and nothing is fetched or looked up."""
        ...

    async def identify(self, credential: Credential) -> Principal:
        """The principal. Raises Unauthenticated, with the same words whatever is wrong with the credential."""
        ...


class Limiter(Protocol):
    """Counts what is used, and refuses what goes beyond. Never open: where its store is away, a local share holds.

    ``address`` is what ``counted_as`` makes of the caller's: empty on this machine, which is not limited by address.
    ``model`` is the model asked (None: none, or not known yet). Requests are charged ahead of reading a body; rows once
    it is known how many there are.
    """

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        """Charges at once. False where memory alone cannot say yes: nothing was charged then; ask ``charge``."""
        ...

    async def charge(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        """Charges. Raises RateLimited, and has charged nothing then."""
        ...

    async def suspect(self, address: str) -> None:
        """To be asked before a credential that memory does not know is looked into, or refused.

        Raises RateLimited for an address that has presented too many wrong ones.
        """
        ...

    def failed(self, address: str) -> None:
        """A credential from this address was wrong."""
        ...
