"""The security ports: who stands behind a credential, and how much of what they have used up."""

from __future__ import annotations

from dataclasses import dataclass
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

    async def identify(self, credential: Credential) -> Principal:
        """The principal. Raises Unauthenticated, with the same words whatever is wrong with the credential."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a principal stands with the limit that is nearest to used up: whole requests (or rows) and seconds."""

    limit: int
    remaining: int
    reset_s: int


class Limiter(Protocol):
    """Counts what is used, and refuses what goes beyond. Never open: where its store is away, a local share holds."""

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        """Charges at once. False where memory alone cannot say yes: nothing was charged then; ask ``charge``."""
        ...

    async def charge(
        self, principal: Principal, address: str, model: str | None, requests: int, rows: int
    ) -> Standing | None:
        """Charges, or raises RateLimited and charges nothing. None where no limit applies to this caller."""
        ...
