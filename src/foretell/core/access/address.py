"""Addresses of the two ends of a connection. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

End = Sequence[Any] | None
"""An end as ASGI gives it: host and port; None where the server does not know it."""


def on_this_machine(*ends: End) -> bool:
    """Whether all ends of a connection are on this machine, as far as they are known."""
    return all(end is None or is_loopback(str(end[0])) for end in ends)


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
def network_of(host: str) -> str:
    """Whose address it is: an IPv4 address alone, of IPv6 the /64, which is what one household or machine is given."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None or not isinstance(address, IPv6Address):
        return str(mapped or address)
    return str(ip_network((int(address) >> 64 << 64, 64)))
