"""Who is at the other end of a connection, as far as TLS tells."""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple

from foretell.core.access.credentials import Credential
from foretell.security.certificates import client_name

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class Peer(NamedTuple):
    """``credential`` is the certificate's name, where one was proved; ``extensions`` stand in every scope of the
    connection: ``tls`` as in the TLS extension of ASGI, with that same name as ``client_cert_name``."""

    credential: Credential | None
    extensions: dict[str, dict[Any, Any]]


NOBODY = Peer(None, {})
"""Without TLS."""


def peer_of(transport: Any) -> Peer:
    """The peer of a connection whose handshake is done. It stays the same for as long as the connection lasts."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return NOBODY
    der = connection.getpeercert(binary_form=True)
    name = None if der is None else client_name(der)
    tls = {
        "server_cert": None,
        "client_cert_chain": () if der is None else (ssl.DER_cert_to_PEM_cert(der),),
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version()),
        "cipher_suite": None,
    }
    credential = None if name is None else Credential("certificate", name.encode())
    return Peer(credential, {"tls": tls})
