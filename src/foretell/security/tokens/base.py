"""An issuer whose tokens are taken, as the one that checks tokens sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from foretell.core.access.principal import Principal


class Bearer(NamedTuple):
    """Who presents a token. ``again`` gives the principal as it is now, None where it is over; None: it never changes
    as long as the token is valid.
    """

    principal: Principal
    again: Callable[[], Principal | None] | None = None


class Verifying(Protocol):
    """A key that signatures are checked with."""

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is of ``signed``, by this key and an algorithm that fits it."""
        ...


class Issuer(Protocol):
    """Has keys, and knows what a token signed with one of them says. Asked by the event loop alone."""

    @property
    def name(self) -> str:
        """The ``iss`` of its tokens."""
        ...

    @property
    def algorithms(self) -> frozenset[str]:
        """What its tokens may be signed with."""
        ...

    def at_hand(self, claims: Mapping[str, Any], algorithm: str, kid: str | None) -> bool:
        """Whether ``find`` and ``bearer`` would answer from memory, and ``find`` with a key."""
        ...

    async def bearer(self, claims: Mapping[str, Any], now_s: float) -> Bearer:
        """Whom these claims mean, if the signature holds. Raises TokenFault where they may not be taken now."""
        ...

    async def find(self, algorithm: str, kid: str | None) -> tuple[Verifying, float] | None:
        """The key, and for how many seconds it may be relied on; None where there is none.

        Raises Unavailable where the issuer is away and none of its keys is known.
        """
        ...
