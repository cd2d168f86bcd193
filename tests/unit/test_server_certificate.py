"""What the listening process knows of its own security, and the address under which it can be called."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foretell.cli.serving.address import url
from foretell.cli.serving.banner import Banner
from foretell.cli.serving.certificate import checked, facts_of, following, stand, tls_files
from foretell.errors import RiskNotAccepted
from foretell.lifecycle.catalog import Catalog
from foretell.security.tls.files import Leaf, TlsFiles
from foretell.settings import Settings, State, Tls
from tests.certificates import Issuer

LEAF = Leaf(("*.example.com", "api.example.com"), datetime(2027, 1, 2, tzinfo=UTC), "AB", False)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        yield here


@pytest.fixture
def everywhere() -> Iterator[socket.socket]:
    with socket.socket() as here:
        here.bind(("0.0.0.0", 0))
        yield here


def test_without_tls_there_is_nothing_to_follow() -> None:
    assert tls_files(Settings()) is None
    assert following(Settings()) is None
    assert checked(Settings()) is None


def test_the_settings_say_where_the_pieces_stand() -> None:
    tls = Tls(cert=Path("c"), key=Path("k"), client_ca=Path("ca"), client_certificate="optional")
    assert tls_files(Settings(tls=tls)) == TlsFiles(Path("c"), Path("k"), Path("ca"), required=False)


def test_a_self_signed_certificate_is_made_once_and_its_fingerprint_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tls=Tls(self_signed=True), state=State(folder=tmp_path / "state"))
    leaf = checked(settings)
    assert leaf is not None and leaf.self_signed
    assert f"SHA-256 {leaf.fingerprint}\n" in capsys.readouterr().err
    context = following(settings)
    assert context is not None and context.leaf == leaf


@pytest.mark.parametrize(("mode", "readable"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_everybody_reads_is_seen(tmp_path: Path, bound: socket.socket, mode: int, readable: bool) -> None:
    cert, key = Issuer.make().server().write(tmp_path)
    key.chmod(mode)
    settings = Settings(tls=Tls(cert=cert, key=key))
    assert facts_of(settings, bound, LEAF).key_readable is readable
    key.unlink()
    assert not facts_of(settings, bound, LEAF).key_readable


@pytest.mark.parametrize(("user", "root", "writable"), [(0, True, False), (1000, False, True)])
def test_only_others_than_root_are_told_of_models_they_may_change(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch, user: int, root: bool, writable: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    facts = facts_of(Settings(models=tmp_path), bound, None)
    assert (facts.root, facts.models_writable) == (root, writable)
    assert facts.bind == f"127.0.0.1:{bound.getsockname()[1]}"


def test_what_refuses_is_not_told_line_by_line_too(
    everywhere: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RiskNotAccepted):
        stand(Settings(), everywhere, None)
    assert capsys.readouterr().err == ""


def test_what_is_accepted_is_one_line_each(everywhere: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    told = stand(Settings(accept_risk=("SW03",)), everywhere, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [str(weakness) for weakness in told]
    assert lines[0].startswith("SECURITY-WEAKENED SW03 ")


@pytest.mark.parametrize(
    ("leaf", "shown"),
    [
        (None, "http://127.0.0.1:{}"),
        (LEAF, "https://api.example.com:{}"),
        (replace(LEAF, names=("127.0.0.1", "a")), "https://127.0.0.1:{}"),
        (replace(LEAF, names=("*.example.com",)), "https://127.0.0.1:{}"),
    ],
)
def test_the_address_shown_is_one_that_the_certificate_bears(
    bound: socket.socket, leaf: Leaf | None, shown: str
) -> None:
    assert url(bound, leaf) == shown.format(bound.getsockname()[1])


@pytest.mark.parametrize("client", [None, Path("ca.pem")])
def test_the_line_to_try_brings_what_the_server_asks_for(capsys: Any, client: Path | None) -> None:
    from tests.unit.test_banner import banner, ready

    shown = banner(ready("iris", example=[1]))
    tls = Tls(cert=Path("c"), client_ca=client)
    line = replace(shown, settings=Settings(tls=tls), certificate=Path("/s/self signed.pem")).curl()
    assert line is not None
    assert line.startswith("curl --cacert '/s/self signed.pem' ")
    assert ("--cert client.pem --key client.key" in line) is (client is not None)


def test_a_terminal_shows_the_security_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Banner(Settings(), Catalog(), "https://x", True, {"bind": "127.0.0.1:1", "client_certificates": "no [x]"}).draw()
    assert "security  bind: 127.0.0.1:1, client certificates: no [x]\n" in capsys.readouterr().out
