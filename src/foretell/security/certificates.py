"""Callers that are known by their certificates: the name in one, and the principal behind a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.core.access.credentials import Credential
from foretell.core.access.grants import Grants, canonical
from foretell.core.access.principal import Principal
from foretell.errors import Unauthenticated

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, SubjectAlternativeName

MAX_NAME_CHARS = 256


class CertificateIdentities:
    """The principals of callers whose certificate was proved when they connected; ``grants`` say what they may do.

    A principal is its certificate's name, ``certificate:NAME``, and a tenant of its own. All of it comes from the
    settings, so nothing known ever changes.
    """

    generation = 0

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def known(self, credential: Credential) -> Principal | None:
        """The principal; None for a credential of another kind."""
        if credential.kind != "certificate":
            return None
        name = credential.secret.decode()
        identity = f"certificate:{name}"
        return Principal(identity, "certificate", identity, self._grants.of(name))

    def at_hand(self, credential: Credential) -> bool:  # noqa: ARG002  # the port's shape
        """Always: there is nobody to ask."""
        return True

    async def identify(self, credential: Credential) -> Principal:
        """As ``known``. Raises Unauthenticated for a credential of another kind."""
        principal = self.known(credential)
        if principal is None:
            raise Unauthenticated("No valid credential.")
        return principal


def client_name(der: bytes) -> str | None:
    """What a proved certificate calls its owner: the first URI among its alternative names, else the first DNS name,
    else the first mail address; where it has none of them, its one common name. None where that cannot be one.

    In its canonical form.
    """
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        found = _alternative(certificate)
        if found is None:
            found = _common(certificate)
    except ValueError:  # whatever its issuer wrote there, it cannot be read
        return None
    if found is None or not 0 < len(found) <= MAX_NAME_CHARS or not found.isprintable():
        return None
    return canonical(found)


def _alternative(certificate: Certificate) -> str | None:
    from cryptography.x509 import (
        DNSName,
        ExtensionNotFound,
        RFC822Name,
        SubjectAlternativeName,
        UniformResourceIdentifier,
    )

    try:
        names: SubjectAlternativeName = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return None
    for kind in (UniformResourceIdentifier, DNSName, RFC822Name):
        if values := names.get_values_for_type(kind):
            return values[0]
    return None


def _common(certificate: Certificate) -> str | None:
    from cryptography.x509 import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None
