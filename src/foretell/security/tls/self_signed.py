"""A certificate that is made here, for development: callers have to be told to trust it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.errors import CertificateUnusable
from foretell.security.tls.files import Leaf, TlsFiles, examine

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

DAYS = 90
RENEW_S = 7 * 86_400
CERT_NAME, KEY_NAME = "self-signed.pem", "self-signed.key"


def made_in(folder: Path) -> TlsFiles:
    """Where ``make`` puts certificate and key."""
    return TlsFiles(folder / CERT_NAME, folder / KEY_NAME)


def make(folder: Path, host: str) -> TlsFiles:
    """A certificate for this machine and ``host`` in ``folder``: the one made before where it still does, else another.

    Both files are this user's alone. Raises CertificateUnusable where they cannot be written.
    """
    files = made_in(folder)
    names = names_of(host)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _still_does(files, names):
            _write(files, names)
    except OSError as error:
        raise CertificateUnusable(
            f"A self-signed certificate cannot be written to {folder}: {error.strerror or error}.",
            hint="FORETELL_STATE names another folder",
        ) from error
    return files


def names_of(host: str) -> tuple[str, ...]:
    """What this machine is called: localhost, its loopback addresses, its name, and ``host`` where it is one."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname().lower()]
    if host not in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        names.append(host.lower())
    return tuple(dict.fromkeys(name for name in names if name and name.isascii()))


def _still_does(files: TlsFiles, names: Iterable[str]) -> bool:
    if not files.cert.exists():
        return False
    try:
        leaf: Leaf = examine(files)
    except CertificateUnusable:
        return False
    return leaf.remaining_s > RENEW_S and set(names) <= set(leaf.names)


def _write(files: TlsFiles, names: Iterable[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Foretell, self-signed")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # the key first: whoever finds the certificate finds the key it belongs to
    _replace(files.key or files.cert, plain)
    _replace(files.cert, certificate.public_bytes(pem))


def _general(name: str) -> GeneralName:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ip_address(name))
    except ValueError:
        return DNSName(name)


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
    fresh.replace(path)
