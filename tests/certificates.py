"""Certificates for tests: issuers, servers and callers, good ones and bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        way: KeySerializationEncryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        pem: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, way)
        return pem

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Replaces ``name.pem`` and ``name.key``, each in one step."""
        folder.mkdir(exist_ok=True)
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, content in zip(paths, (self.pem, self.key_pem()), strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            fresh.replace(path)
        return paths


@dataclass(frozen=True)
class Issuer(Pair):
    """An authority."""

    @classmethod
    def make(cls, name: str = "tests", **more: Any) -> Issuer:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(certificate(name, key.public_key(), None, key, authority=True, **more), key)

    def server(self, names: Sequence[str] = HERE, **more: Any) -> Pair:
        """A certificate for a server of these names."""
        return self.issue(names[0], dns=[n for n in names if not _ip(n)], ips=[n for n in names if _ip(n)], **more)

    def client(self, common: str | None = "caller", **more: Any) -> Pair:
        """A certificate for a caller."""
        return self.issue(common, usage=ExtendedKeyUsageOID.CLIENT_AUTH, **more)

    def issue(self, common: str | None, *, key: Any = None, **more: Any) -> Pair:
        key = key or ec.generate_private_key(ec.SECP256R1())
        return Pair(certificate(common, key.public_key(), self.certificate, self.key, **more), key)


def certificate(
    common: str | Sequence[str] | None,
    public: Any,
    issuer: x509.Certificate | None,
    signing: Any,
    *,
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
    uris: Sequence[str] = (),
    mails: Sequence[str] = (),
    authority: bool = False,
    usage: Any = ExtendedKeyUsageOID.SERVER_AUTH,
    starts_days: float = -1,
    ends_days: float = 30,
) -> x509.Certificate:
    commons = [common] if isinstance(common, str) else list(common or ())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in commons])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts_days))
        .not_valid_after(now + timedelta(days=ends_days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ip_address(name)) for name in ips]
    names += [x509.UniformResourceIdentifier(name) for name in uris]
    names += [x509.RFC822Name(name) for name in mails]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if authority:
        sign_only = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "encipher_only", "decipher_only"), False
        )  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **sign_only), critical=True)
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signing, hashes.SHA256())


def _ip(name: str) -> bool:
    return name.replace(".", "").isdigit() or ":" in name
