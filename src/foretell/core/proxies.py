"""Who really calls, where proxies stand between: read from the right, and no further than they are trusted. Pure.

Each proxy appends the address it was called from. What the nearest one says is as good as that proxy; what stands left
of it was said by whoever called it. So the walk begins at the connection itself and goes on for as long as the address
it has reached is a proxy that was declared. Callers can write what they like further left: nobody reads it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

Headers = Sequence[tuple[bytes, bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"
PROXIED = "foretell.proxied"
"""The entry in a request's ASGI scope that says it came through a declared proxy."""
MAX_HOPS = 32
_MAX_BYTES = 4096
_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::[0-9]{1,5})?")
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"\\]*)"|([^\s;,"]*))\s*')


class Caller(NamedTuple):
    """Where a request comes from. ``address`` is None on a Unix socket whose proxy did not say."""

    address: str | None
    scheme: Literal["http", "https"]


def network(text: str) -> str:
    """A network, an address, or ``unix``, as a person writes it, made regular. Raises ValueError where it is none."""
    text = text.strip().lower()
    if text == UNIX:
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.0.0.0/8, addresses, or unix ({error})") from None


class Proxies:
    """The proxies that were declared, and the header in which they say who called: ``x-forwarded-for`` or
    ``forwarded``. Only that one is read, since a proxy that sets one of them lets its callers set the other."""

    def __init__(self, trusted: Iterable[str] = (), header: str = "x-forwarded-for") -> None:
        trusted = tuple(trusted)
        self._unix = UNIX in trusted
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(each) for each in trusted if each != UNIX)
        self._header = header.encode("ascii")
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def _trusts(self, address: str | None) -> bool:
        """Whether a connection from ``address``, None on a Unix socket, is from a declared proxy."""
        if address is None:
            return self._unix
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found.version == each.version and found in each for each in self._networks)

    def caller(self, peer: str | None, scheme: str, headers: Headers) -> Caller:
        """Who calls over a connection from ``peer``, by ``scheme``. ``headers`` count only where the peer is trusted.

        Asking again with what it answered gives the same answer.
        """
        own: Literal["http", "https"] = "https" if scheme == "https" else "http"
        if not self.trusts(peer):
            return Caller(peer, own)
        said = [value for name, value in headers if len(name) == len(self._header) and name.lower() == self._header]
        hops = _hops(b",".join(said), forwarded=self._header == b"forwarded")
        address, by = peer, own
        for hop, over in hops:
            by = over or by
            if hop is None:
                break  # the proxy did not say, or not so that it can be read: what it stands behind stays unknown
            address = hop
            if not self.trusts(hop):
                break
        if self._header != b"forwarded":
            by = _forwarded_proto(headers) or by
        return Caller(address, by)


Hop = tuple[str | None, Literal["http", "https"] | None]


def _hops(value: bytes, *, forwarded: bool) -> list[Hop]:
    """The hops that a header names, the nearest first: no more than ``MAX_HOPS``, nor of its last 4,096 bytes."""
    if len(value) > _MAX_BYTES:  # callers can make it as long as they like; what proxies wrote stands at its end
        value = value[-_MAX_BYTES:].partition(b",")[2]
    if not value:
        return []
    elements = value.decode("latin-1").split(",")[-MAX_HOPS:]
    return [_element(each) if forwarded else (_address(each), None) for each in reversed(elements)]


def _element(text: str) -> Hop:
    """One element of ``Forwarded`` (RFC 7239). A value in quotes that holds a comma is none that names an address."""
    address: str | None = None
    scheme: Literal["http", "https"] | None = None
    for part in text.split(";"):
        found = _PAIR.fullmatch(part)
        if found is None:
            return None, None
        name, value = found[1].lower(), found[2] if found[2] is not None else found[3]
        if name == "for":
            address = _address(value)
        elif name == "proto":
            scheme = _scheme(value)
    return address, scheme


def _address(text: str) -> str | None:
    """An address with or without brackets and port; None where it is none."""
    text = text.strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        found = _PORT.fullmatch(text)
    if found is None:
        return None
    try:
        return str(ipaddress.ip_address(found[1].strip("[]")))
    except ValueError:
        return None


def _forwarded_proto(headers: Headers) -> Literal["http", "https"] | None:
    """What the nearest proxy says it was called by: the last word of the last ``X-Forwarded-Proto``."""
    for name, value in reversed(headers):
        if name.lower() == b"x-forwarded-proto":
            return _scheme(value[-_MAX_BYTES:].rpartition(b",")[2].strip().decode("latin-1"))
    return None


def _scheme(text: str) -> Literal["http", "https"] | None:
    lower = text.lower()
    return "https" if lower == "https" else "http" if lower == "http" else None
