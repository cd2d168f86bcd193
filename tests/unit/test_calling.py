"""How commands that call a server find their key, whom they believe, and what they show."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from foretell.cli.calling import MAX_KEY_BYTES, Calling, Key, find_key, refused_hint, trusting
from foretell.cli.scoring.server import Server
from foretell.errors import OperatorError, PathMissing
from foretell.settings import Settings
from foretell.settings_reading import API_KEY
from tests.certificates import Issuer


def test_a_key_comes_from_its_file_else_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("  ft_file\n")
    assert find_key(None, {}) is None
    assert find_key(None, {API_KEY: " "}) is None
    assert find_key(None, {API_KEY: "ft_env\n"}) == Key("ft_env", API_KEY)
    assert find_key(tmp_path / "key", {API_KEY: "ft_env"}) == Key("ft_file", str(tmp_path / "key"))


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"line\r\nX-Evil: 1", "schlüssel".encode(), b"\xff"])
def test_what_is_no_key_is_not_sent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(OperatorError, match="holds no key"):
        find_key(tmp_path / "key", {})


def test_a_key_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        find_key(tmp_path / "nowhere", {})
    with pytest.raises(OperatorError, match="cannot be read"):
        find_key(tmp_path, {})
    (tmp_path / "large").write_bytes(b"x" * (MAX_KEY_BYTES + 1))
    with pytest.raises(OperatorError, match="too large"):
        find_key(tmp_path / "large", {})


def test_a_key_is_never_shown() -> None:
    key = Key("ft_secret", "key.txt")
    assert "ft_secret" not in repr(key) + repr(Server("http://127.0.0.1", key)) + refused_hint(key)
    assert "key.txt" in refused_hint(key) and API_KEY in refused_hint(None)


@pytest.mark.parametrize("url", ["http://example.com/api/v1", "http://10.0.0.7:8000", "http://0.0.0.0", "http://[::2]"])
def test_a_key_goes_over_plain_http_to_another_machine_by_consent_alone(tmp_path: Path, url: str) -> None:
    file = tmp_path / "key"
    file.write_text("ft_file")
    with pytest.raises(OperatorError, match="plain http") as caught:
        Calling(key_file=file).key(url, {})
    assert "--insecure-key" in str(caught.value.hint) and "unset" not in str(caught.value.hint)
    with pytest.raises(OperatorError) as caught:
        Calling().key(url, {API_KEY: "ft_env"})
    assert f"unset {API_KEY}" in str(caught.value.hint)
    assert Calling(key_file=file, insecure_key=True).key(url, {}) == Key("ft_file", str(file))
    assert Calling().key(url, {}) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80", "https://example.com"])
def test_a_key_goes_to_this_machine_and_over_tls(url: str) -> None:
    assert Calling().key(url, {API_KEY: "ft_env"}) == Key("ft_env", API_KEY)


def test_what_is_said_of_a_server_needs_one(tmp_path: Path) -> None:
    Calling().none("")
    for said in (Calling(ca=tmp_path), Calling(cert=tmp_path), Calling(cert_key=tmp_path), Calling(insecure_key=True)):
        with pytest.raises(OperatorError, match="are for a server"):
            said.none("")


def test_a_file_of_authorities_is_believed_alone_or_told_to_be_none(tmp_path: Path) -> None:
    ca, _ = Issuer.make().write(tmp_path, "ca")
    assert len(trusting(ca).get_ca_certs()) == 1
    (tmp_path / "none.pem").write_text("hello")
    with pytest.raises(OperatorError, match="holds no certificate"):
        trusting(tmp_path / "none.pem")
    with pytest.raises(PathMissing):
        trusting(tmp_path / "nowhere.pem")
    with pytest.raises(OperatorError):
        trusting(tmp_path)


def test_a_certificate_is_shown_with_its_own_key_or_told_to_be_none(tmp_path: Path) -> None:
    cert, key = Issuer.make().client().write(tmp_path, "caller")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    locked = tmp_path / "locked.key"
    locked.write_bytes(Issuer.make().client().key_pem(b"a password"))
    usual = ssl.create_default_context()
    assert Calling(cert=cert, cert_key=key).trust(usual) is usual
    assert Calling(cert=both).trust(usual) is usual
    for wrong in (Calling(cert=cert), Calling(cert=cert, cert_key=cert), Calling(cert=cert, cert_key=locked)):
        with pytest.raises(OperatorError, match="hold no certificate with its key"):
            wrong.trust(usual)
    with pytest.raises(PathMissing):
        Calling(cert=cert, cert_key=tmp_path / "nowhere").trust(usual)
    with pytest.raises(OperatorError, match="cannot be read"):
        Calling(cert=tmp_path).trust(usual)
    with pytest.raises(OperatorError, match="key of a certificate"):
        Calling(cert_key=key).trust(usual)
    for plain in (Calling(cert=both), Calling(ca=cert)):
        with pytest.raises(OperatorError, match="servers with TLS"):
            plain.trust(None)
    assert Calling().trust(None) is None


def test_the_key_is_no_setting() -> None:
    Settings.load(environ={API_KEY: "ft_secret"})
    assert "ft_secret" not in str(Settings.load(environ={**os.environ, API_KEY: "ft_secret"}).export())
