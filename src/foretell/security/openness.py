"""What is open to callers without a credential. Pure."""

from __future__ import annotations

from typing import Literal

from foretell.core.access.principal import Principal, anonymous
from foretell.core.access.scopes import Scope

Mode = Literal["auto", "on", "off"]

OPEN: frozenset[Scope] = frozenset({"predict", "jobs", "models:read", "metrics"})
"""Everything but what changes the server's state or tells of other callers: that always needs a credential."""

_NOBODY, _ANYBODY = anonymous(frozenset()), anonymous(OPEN)


def stranger(mode: Mode, *, loopback: bool, closed: bool) -> Principal:
    """Who a caller without a credential is.

    ``auto`` is open to this machine until the server was ``closed``, by its first key or because auth was set up; that
    is for good, so that revoking the last key opens nothing.
    """
    if mode == "off" or (mode == "auto" and loopback and not closed):
        return _ANYBODY
    return _NOBODY
