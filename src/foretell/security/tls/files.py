"""The certificate, the key and the issuers of callers' certificates, read and judged before OpenSSL sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretell.errors import CertificateUnusable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_BYTES = 4 * 1024 * 1024

Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class TlsFiles:
    """Where the pieces stand. Without ``key`` it stands with the certificate; without ``client_ca`` nobody is asked for
    a certificate of their own. ``required`` says whether those who are asked must have one."""

    cert: Path
    key: Path | None = None
    client_ca: Path | None = None
    required: bool = True

    def stamps(self) -> tuple[Stamp, ...]:
        """What shows that a file was changed or replaced; None for one that is not there."""
        return tuple(_stamp(path) for path in (self.cert, self.key, self.client_ca) if path is not None)


@dataclass(frozen=True)
class Leaf:
    """The server's own certificate, as people know it."""

    names: Sequence[str]
    expires: datetime
    fingerprint: str
    self_signed: bool

    @property
    def remaining_s(self) -> float:
        """Seconds until it expires."""
        return (self.expires - datetime.now(UTC)).total_seconds()


def examine(files: TlsFiles) -> Leaf:
    """The certificate, if it belongs to the key, is valid now, and the issuers' file holds issuers.

    Raises CertificateUnusable, which says what is wrong and what to do.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return _examined(files)
    except (ValueError, UnsupportedAlgorithm) as error:  # parts of a certificate are read only when they are asked for
        raise CertificateUnusable(
            f"tls.cert: {files.cert} holds a certificate of a kind that is not known here: {error}.",
            hint=f"openssl x509 -in {files.cert} -noout -text shows what openssl makes of it",
        ) from error


def _examined(files: TlsFiles) -> Leaf:
    text = read(files.cert, "tls.cert")
    chain = _certificates(text, files.cert, "tls.cert")
    key_path = files.key or files.cert
    key = _key(text if files.key is None else read(files.key, "tls.key"), key_path, files.key is None)
    _belongs(chain, key.public_key(), files.cert, key_path)
    _valid_now(chain[0], f"tls.cert: {files.cert}")
    if files.client_ca is not None:
        issuers = _certificates(read(files.client_ca, "tls.client_ca"), files.client_ca, "tls.client_ca")
        _any_valid(issuers, files.client_ca)
    return Leaf(
        names=_names(chain[0]),
        expires=chain[0].not_valid_after_utc,
        fingerprint=fingerprint(chain[0]),
        self_signed=chain[0].issuer == chain[0].subject,
    )


def read(path: Path, key: str) -> bytes:
    """The bytes of the file that the setting ``key`` names. Raises CertificateUnusable."""
    try:
        if path.exists() and not path.is_file():
            raise CertificateUnusable(f"{key}: {path} is no file.", hint="name a file in PEM format")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CertificateUnusable(
            f"{key}: {path} cannot be read: {error.strerror or error}.",
            hint="it has to be there, and this user has to be allowed to read it",
        ) from error
    if len(content) > MAX_BYTES:
        raise CertificateUnusable(f"{key}: {path} is larger than {MAX_BYTES >> 20} MiB, so it is no certificate.")
    return content


def fingerprint(certificate: Certificate) -> str:
    """SHA-256 over the certificate, as openssl and browsers write it."""
    from cryptography.hazmat.primitives.serialization import Encoding

    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _certificates(text: bytes, path: Path, key: str) -> Sequence[Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        if text[:1] == b"\x30":
            hint = f"openssl x509 -inform der -in {path} -out {path}.pem"
        elif b"-----BEGIN CERTIFICATE-----" not in text:
            hint = "a certificate in PEM format begins with -----BEGIN CERTIFICATE-----"
        else:
            hint = f"openssl x509 -in {path} -noout -text shows what openssl makes of it"
        raise CertificateUnusable(f"{key}: {path} holds no certificate that can be read.", hint=hint) from error


def _key(text: bytes, path: Path, in_cert: bool) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text if not in_cert else _key_block(text, path), None)
    except TypeError as error:  # how cryptography says that it wants a password
        raise CertificateUnusable(
            f"tls.key: the key in {path} is encrypted, and a server has nobody to ask for the password.",
            hint=f"openssl pkey -in {path} -out plain.key, and let nobody else read plain.key",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateUnusable(
            f"tls.key: {path} holds no private key that can be read.",
            hint="a private key in PEM format begins with -----BEGIN PRIVATE KEY-----",
        ) from error


def _key_block(text: bytes, path: Path) -> bytes:
    if b"PRIVATE KEY-----" not in text:
        raise CertificateUnusable(
            f"tls.cert: {path} holds no private key, and no other file is named for it.",
            hint="--tls-key FILE, or FORETELL_TLS__KEY",
        )
    start = text.rindex(b"-----BEGIN", 0, text.index(b"PRIVATE KEY-----"))
    return text[start:]


def _belongs(chain: Sequence[Certificate], public: Any, cert: Path, key: Path) -> None:
    if chain[0].public_key() == public:
        return
    if any(other.public_key() == public for other in chain[1:]):
        raise CertificateUnusable(
            f"tls.cert: in {cert} the certificate of an issuer stands before the server's own.",
            hint="the server's certificate comes first, then that of its issuer, and so on",
        )
    raise CertificateUnusable(
        f"tls.key: the key in {key} does not belong to the certificate in {cert}.",
        hint=f"`openssl x509 -in {cert} -noout -pubkey` and `openssl pkey -in {key} -pubout` must give the same",
    )


def _valid_now(certificate: Certificate, place: str) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise CertificateUnusable(
            f"{place} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.",
            hint="renew it; a running server takes up the new one by itself",
        )
    if now < certificate.not_valid_before_utc:
        raise CertificateUnusable(
            f"{place} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only.",
            hint=f"wait, or set the clock of this machine, which says {now:%Y-%m-%d %H:%M} UTC",
        )


def _any_valid(issuers: Iterable[Certificate], path: Path) -> None:
    now = datetime.now(UTC)
    if not any(issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc for issuer in issuers):
        raise CertificateUnusable(
            f"tls.client_ca: no certificate in {path} is valid today, so that no caller's would be.",
            hint="name the issuers that callers have their certificates from",
        )


def _names(certificate: Certificate) -> Sequence[str]:
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except (ExtensionNotFound, ValueError):
        return ()
    return (*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress)))
