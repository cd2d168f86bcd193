"""Who is at the other end of a connection, as far as TLS tells."""

from __future__ import annotations

from typing import Any

from foretell.core.access.credentials import PROVED, Credential
from foretell.security.certificates import client_name


def peer_of(transport: Any) -> Credential | None:
    """The name in the certificate that was proved in the handshake of a connection; None without one.

    It holds for as long as the connection lasts.
    """
    encrypted = transport.get_extra_info("ssl_object")
    der = None if encrypted is None else encrypted.getpeercert(binary_form=True)
    name = None if der is None else client_name(der)
    return None if name is None else Credential("certificate", name.encode())


def extensions_of(certificate: Credential | None) -> dict[str, dict[Any, Any]]:
    """What tells the ordinary way the same: the extensions in every scope of the connection."""
    return {} if certificate is None else {PROVED: {"credential": certificate}}
