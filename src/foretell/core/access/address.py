"""Addresses of the two ends of a connection. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?([/?][!-~]*)?", re.ASCII
)

UNKNOWN = "unknown"

End = Sequence[Any] | None
"""An end as ASGI gives it: host and port; None where the server does not know it."""


def on_this_machine(*ends: End) -> bool:
    """Whether all ends of a connection are on this machine, as far as they are known."""
    return all(end is None or is_loopback(str(end[0])) for end in ends)


def counted_as(address: str | None, *, here: bool) -> str:
    """What limits know a caller by: whose address it is; nothing where it is ``here``, on this machine, where none of
    addresses holds.

    An address says nothing of that by itself: behind a proxy on this machine everybody may seem to have a loopback one.
    """
    return "" if here else network_of(address) if address else UNKNOWN


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Whether an address is a loopback one; what is no address (a Unix socket's path) came over no network."""
    try:
        address = ip_address(host)
    except ValueError:
        return True
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@lru_cache(1024)
def is_address(host: str) -> bool:
    """Whether it is one of a network: neither a Unix socket's path nor a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(1024)
def network_of(host: str) -> str:
    """Whose address it is: an IPv4 address alone, of IPv6 the /64, which is what one household or machine is given."""
    try:
        address = ip_address(host.partition("%")[0])  # which of our interfaces it came by says nothing of whose it is
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None or not isinstance(address, IPv6Address):
        return str(mapped or address)
    return str(ip_network((int(address) >> 64 << 64, 64)))


def may_ask(url: str, *, allow_http: bool = False) -> bool:
    """Whether what comes from ``url`` can be believed: it is over TLS, or from this very machine, or ``allow_http``."""
    match = _URL.fullmatch(url)
    return match is not None and (match["scheme"] == "https" or allow_http or at_home(url))


def at_home(url: str) -> bool:
    """Whether ``url`` names this machine by a loopback address."""
    match = _URL.fullmatch(url)
    host = "" if match is None else match["host"].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
