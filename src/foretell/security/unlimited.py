"""The limiter of a server that limits nobody."""

from __future__ import annotations

from foretell.core.access.principal import Principal


class Unlimited:
    """Counts nothing and refuses nobody."""

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:  # noqa: ARG002  # the port's shape
        """Always."""
        return True

    async def charge(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        """Never refuses."""

    async def suspect(self, address: str) -> None:
        """Suspects nobody."""

    def failed(self, address: str) -> None:
        """Remembers nothing."""
