"""The address the server listens on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foretell.errors import OperatorError, PortInUse, SettingsError
from foretell.security.tls.files import Leaf
from foretell.settings import Settings

BACKLOG = 2048
UNSENT_BYTES = 128 * 1024


def bind(settings: Settings) -> socket.socket:
    """A socket bound to the address of the settings, not yet listening.

    Raises PortInUse, SettingsError where this machine has no such address, OperatorError where it may not be taken.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _no_address(settings, error) from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise fault(error, settings) from error
    return bound


@contextmanager
def bind_each(settings: Settings, count: int) -> Iterator[list[socket.socket]]:
    """``count`` sockets bound to one address, among which the kernel deals out new connections. Raises as ``bind``.

    On one socket shared by several processes the first to wake takes all that have come: 63 of 64, as measured.
    Whoever replaces a socket puts the new one into the list, which is closed at the end.
    """
    with bind(settings) as alone:  # a socket that shares would join another server's; this one tells the port is free
        family, address = alone.family, alone.getsockname()
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            sockets.append(_bind_shared(family, address))
    except OSError as error:
        _close(sockets)
        raise fault(error, settings) from error
    try:
        yield sockets
    finally:
        _close(sockets)


def bind_again(bound: socket.socket) -> socket.socket:
    """A fresh socket in the place of one that ``bind_each`` made, whose waiting connections are given up."""
    fresh = _bind_shared(bound.family, bound.getsockname())
    bound.close()
    return fresh


def bound_what_waits(listening: socket.socket) -> None:
    """Has the system take no more for a caller than that reads, and ``UNSENT_BYTES``, of connections made from here on.

    It would take megabytes for each that does not read, and whoever answers would go on until it has them.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)


def _close(sockets: list[socket.socket]) -> None:
    for bound in sockets:
        bound.close()


def _bind_shared(family: int, address: Any) -> socket.socket:
    shared = socket.socket(family, socket.SOCK_STREAM)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            shared.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # connections of an earlier server linger on the port. Only now, since whoever allows this lets
            # another server bind the port as well, until the first of them listens
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            shared.bind(address)
    except OSError:
        shared.close()
        raise
    return shared


def fault(error: OSError, settings: Settings) -> OperatorError:
    """What a failure to bind or listen means to whoever runs the server."""
    place = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{place} is in use by another process.",
            hint=f"--port {_another(settings.port)} or --port 0 takes another; `ss -ltnp 'sport = :{settings.port}'` "
            "shows who has this one",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return OperatorError(
            f"{place} may not be taken by this user: ports below 1024 are the superuser's.",
            hint=f"--port {_another(settings.port + 8000)} takes another",
        )
    return _no_address(settings, error)


def url(bound: socket.socket, leaf: Leaf | None = None) -> str:
    """Where a browser on this machine finds the server; with a certificate, under a name that it bears."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    if leaf is not None and host not in leaf.names:
        host = next((name for name in leaf.names if "*" not in name), host)
    scheme = "http" if leaf is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _no_address(settings: Settings, error: Exception) -> SettingsError:
    source, reason = settings.source_of("host"), getattr(error, "strerror", None) or error
    return SettingsError(
        f"host '{settings.host}' (from {source}) is not an address of this machine: {reason}.",
        hint="127.0.0.1 serves this machine only, 0.0.0.0 every network it is on",
    )


def _another(port: int) -> int:
    return port + 1 if port < 65_535 else 8000
