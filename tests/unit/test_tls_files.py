"""Certificates and keys as files: what can serve is taken, and whatever cannot is told in words that help."""

from __future__ import annotations

import hashlib
import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from foretell.errors import CertificateUnusable
from foretell.security.tls import files as tls_files
from foretell.security.tls.context import open_context
from foretell.security.tls.files import TlsFiles, examine
from foretell.security.tls.self_signed import made_in, make, names_of
from tests.certificates import Issuer, Pair


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


def stored(folder: Path, pair: Pair) -> TlsFiles:
    return TlsFiles(*pair.write(folder))


def refusal(files: TlsFiles) -> str:
    with pytest.raises(CertificateUnusable) as caught:
        open_context(files)
    assert caught.value.exit_code == 78
    return f"{caught.value.detail} | {caught.value.hint}"


def test_a_good_pair_is_known_by_its_names_end_and_fingerprint(tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server(["api.example.com", "127.0.0.1"])
    leaf = examine(stored(tmp_path, pair))
    assert leaf.names == ("api.example.com", "127.0.0.1")
    assert leaf.expires == pair.certificate.not_valid_after_utc
    assert not leaf.self_signed
    assert leaf.fingerprint.count(":") == 31
    assert leaf.fingerprint.replace(":", "") == hashlib.sha256(pair.der).hexdigest().upper()


def test_a_certificate_without_alternative_names_has_none(tmp_path: Path, issuer: Issuer) -> None:
    assert examine(stored(tmp_path, issuer.issue("localhost"))).names == ()


def test_a_key_may_stand_with_its_certificate_before_it_or_behind(tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server()
    for content in (pair.pem + pair.key_pem(), pair.key_pem() + pair.pem + issuer.pem):
        (tmp_path / "both.pem").write_bytes(content)
        open_context(TlsFiles(tmp_path / "both.pem"))


def test_a_file_that_is_missing_is_named_with_its_setting(tmp_path: Path) -> None:
    assert "tls.cert: " in (said := refusal(TlsFiles(tmp_path / "no.pem")))
    assert "no.pem cannot be read: No such file or directory." in said
    assert "is no file" in refusal(TlsFiles(tmp_path))


def test_a_certificate_without_a_key_asks_for_one(tmp_path: Path, issuer: Issuer) -> None:
    cert, _ = issuer.server().write(tmp_path)
    assert "--tls-key FILE" in refusal(TlsFiles(cert))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with -----BEGIN CERTIFICATE-----"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "openssl x509 -in"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate"),
    ],
)
def test_what_is_no_certificate_is_told(tmp_path: Path, issuer: Issuer, content: bytes, said: str) -> None:
    files = stored(tmp_path, issuer.server())
    files.cert.write_bytes(content)
    assert said in refusal(files)


def test_a_binary_certificate_is_told_how_to_become_text(tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server()
    files = stored(tmp_path, pair)
    files.cert.write_bytes(pair.certificate.public_bytes(Encoding.DER))
    assert "openssl x509 -inform der" in refusal(files)


def test_what_is_no_key_is_told(tmp_path: Path, issuer: Issuer) -> None:
    cert, key = issuer.server().write(tmp_path)
    key.write_text("nothing")
    assert "holds no private key that can be read" in refusal(TlsFiles(cert, key))


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_its_password(tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server()
    cert, key = pair.write(tmp_path)
    key.write_bytes(pair.key_pem(b"secret"))
    assert "is encrypted" in (said := refusal(TlsFiles(cert, key)))
    assert "openssl pkey -in" in said


def test_the_key_of_another_certificate_is_told(tmp_path: Path, issuer: Issuer) -> None:
    cert, _ = issuer.server().write(tmp_path, "one")
    _, key = issuer.server().write(tmp_path, "two")
    assert "does not belong to the certificate" in refusal(TlsFiles(cert, key))


def test_an_issuer_that_stands_before_the_server_is_told(tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server()
    cert, key = pair.write(tmp_path)
    cert.write_bytes(issuer.pem + pair.pem)
    assert "the certificate of an issuer stands before" in refusal(TlsFiles(cert, key))


@pytest.mark.parametrize(("starts", "ends", "said"), [(-9, -1, "expired on"), (1, 9, "is valid from")])
def test_a_certificate_out_of_its_time_is_told(
    tmp_path: Path, issuer: Issuer, starts: float, ends: float, said: str
) -> None:
    assert said in refusal(stored(tmp_path, issuer.server(starts_days=starts, ends_days=ends)))


def test_a_key_that_is_too_short_for_openssl_is_told_in_its_words(tmp_path: Path, issuer: Issuer) -> None:
    short = rsa.generate_private_key(65537, 1024)
    assert "EE_KEY_TOO_SMALL" in refusal(stored(tmp_path, issuer.issue("localhost", key=short, dns=["localhost"])))


def test_a_file_without_end_is_not_read_to_its_end(
    tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = stored(tmp_path, issuer.server())
    monkeypatch.setattr(tls_files, "MAX_BYTES", 100)
    assert "is larger than" in refusal(files)


def test_issuers_of_callers_must_be_valid_certificates(tmp_path: Path, issuer: Issuer) -> None:
    cert, key = issuer.server().write(tmp_path)
    old, _ = Issuer.make(starts_days=-9, ends_days=-1).write(tmp_path, "old")
    assert "no certificate in" in refusal(TlsFiles(cert, key, old))
    old.write_text("?")
    assert "tls.client_ca" in refusal(TlsFiles(cert, key, old))


def test_a_context_is_modern_and_asks_callers_as_told(tmp_path: Path, issuer: Issuer) -> None:
    cert, key = issuer.server().write(tmp_path)
    ca, _ = issuer.write(tmp_path, "ca")
    plain, _ = open_context(TlsFiles(cert, key))
    assert plain.minimum_version is ssl.TLSVersion.TLSv1_2
    assert plain.verify_mode is ssl.CERT_NONE
    names = {str(cipher["name"]) for cipher in plain.get_ciphers() if cipher["protocol"] == "TLSv1.2"}
    assert names
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in names)
    asking, _ = open_context(TlsFiles(cert, key, ca))
    assert (asking.verify_mode, asking.num_tickets) == (ssl.CERT_REQUIRED, 0)
    assert open_context(TlsFiles(cert, key, ca, required=False))[0].verify_mode is ssl.CERT_OPTIONAL


# -- self-signed -----------------------------------------------------------------------------------------------------


def test_a_self_signed_certificate_is_this_users_alone_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    files = make(folder, "127.0.0.1")
    assert files == made_in(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    leaf = examine(files)
    assert leaf.self_signed
    assert {"localhost", "127.0.0.1", "::1"} < set(leaf.names)
    assert examine(make(folder, "127.0.0.1")) == leaf


@pytest.mark.parametrize("host", ["api.example.com", "10.1.2.3"])
def test_a_self_signed_certificate_is_made_anew_for_a_host_it_does_not_name(tmp_path: Path, host: str) -> None:
    before = examine(make(tmp_path, "localhost"))
    after = examine(make(tmp_path, host))
    assert host in after.names
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "mäschine"])
def test_what_no_certificate_can_bear_is_no_name(host: str) -> None:
    assert host not in names_of(host)


def test_a_self_signed_certificate_that_was_damaged_or_ends_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(tmp_path, "localhost")
    files.cert.write_text("damaged")
    before = examine(make(tmp_path, "localhost"))
    monkeypatch.setattr("foretell.security.tls.self_signed.RENEW_S", 10_000 * 86_400)
    assert examine(make(tmp_path, "localhost")).fingerprint != before.fingerprint


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateUnusable, match="cannot be written"):
        make(tmp_path / "file" / "state", "localhost")


def test_a_client_may_trust_the_self_signed_certificate_itself(tmp_path: Path) -> None:
    files = make(tmp_path, "localhost")
    trusting = ssl.create_default_context(cafile=str(files.cert))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    server, _ = open_context(files)
    handshake(server, trusting)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in ends[:]:
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
