"""Which ``Host`` a request may name: one grammar, one decision, for the lane and for the ordinary way. Pure.

A page on the internet can make its own name point at this machine and let a visitor's browser talk to it (DNS
rebinding). Then the browser names that page's host, and the list of names that are answered turns it away.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

Headers = Sequence[tuple[bytes, bytes]]
HostFault = Literal["malformed", "misdirected"]

LOOPBACK_NAMES = ("localhost", "*.localhost", "127.0.0.1", "::1")
MAX_HOST_BYTES = 261  # 253 of a name, its trailing dot, a colon and a port

_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_][A-Za-z0-9_.-]{0,253}))(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?")


def host_name(value: bytes) -> str | None:
    """The name in a ``Host`` header, in lower case, without port, brackets and trailing dot; None where it is none."""
    found = _HOST.fullmatch(value) if len(value) <= MAX_HOST_BYTES else None
    if found is None:
        return None
    literal, name, port = found.groups()
    if port is not None and int(port) > 65_535:
        return None
    if literal is None:
        text = name.decode("ascii").lower().removesuffix(".")
        return None if not text or ".." in text else text
    try:
        return str(ipaddress.IPv6Address(literal.decode("ascii")))
    except ValueError:
        return None


def is_loopback(address: str) -> bool:
    """Whether ``address`` (an address, or localhost) can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def host_pattern(text: str) -> str:
    """A name for ``Hosts`` as a person writes it, made regular. Raises ValueError where it is none."""
    name = text.strip().lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError("must be host names such as api.example.com or *.example.com, without a port") from None
    return name


class Hosts:
    """The names that are answered; all that are well-formed where ``names`` is None.

    ``*.example.com`` stands for every name below ``example.com``.
    """

    def __init__(self, names: Iterable[str] | None) -> None:
        self.every = names is None
        patterns = tuple(names or ())
        self._exact = frozenset(name for name in patterns if not name.startswith("*"))
        self._below = tuple(name[1:] for name in patterns if name.startswith("*"))
        self._remembered = lru_cache(maxsize=1024)(self._fault)

    @classmethod
    def of(cls, names: Sequence[str], bound: str) -> Hosts:
        """What a server that is bound to ``bound`` answers: ``names`` where there are any; else, where nobody but this
        machine can reach it, the names of this machine; else every name, for nobody told which are its own."""
        if names:
            return cls(None if "*" in names else names)
        if is_loopback(bound):
            return cls((*LOOPBACK_NAMES, host_pattern(bound)))
        return cls(None)

    @classmethod
    def home(cls, names: Sequence[str]) -> Hosts:
        """By which a caller on this machine means the server there: the names of this machine, and those that were
        named one by one. ``*`` names none."""
        return cls((*LOOPBACK_NAMES, *(name for name in names if name != "*")))

    def own(self, value: bytes) -> bool:
        """Whether a ``Host`` of this value is one of the names, or a loopback address."""
        name = host_name(value)
        return name is not None and (is_loopback(name) or self.fault(value) is None)

    def fault(self, value: bytes) -> HostFault | None:
        """Why a ``Host`` of this value is refused; None where it is not."""
        return "malformed" if len(value) > MAX_HOST_BYTES else self._remembered(value)

    def _fault(self, value: bytes) -> HostFault | None:
        name = host_name(value)
        if name is None:
            return "malformed"
        if self.every or name in self._exact or name.endswith(self._below):
            return None
        return "misdirected"
