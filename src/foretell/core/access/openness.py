"""Whether callers without a credential are served, and with what. Pure."""

from __future__ import annotations

from typing import Literal

from foretell.core.access.scopes import SCOPES, Scope

Mode = Literal["auto", "on", "off"]

TRIAL: frozenset[Scope] = frozenset({"predict", "models:read"})
"""What anybody may do on a loopback address before there are keys."""


def openness(mode: Mode, *, loopback: bool, closed: bool, configured: bool) -> frozenset[Scope]:
    """The scopes of a caller without a credential; none where everybody has to show who they are.

    mode        ``off``: everything is open. ``on``: nothing is. ``auto``: a first start on this machine just works
    loopback    whether the server listens on a loopback address alone
    closed      whether a key was ever made, or authentication was ever set; there is no way back from it
    configured  whether the settings name an issuer of tokens or an authority for clients' certificates
    """
    if mode == "off":
        return frozenset(SCOPES)
    if mode == "on" or closed or configured or not loopback:
        return frozenset()
    return TRIAL
