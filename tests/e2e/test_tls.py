"""``foretell serve`` with TLS as real clients meet it: curl, openssl, Python; one process, several, and reload."""

from __future__ import annotations

import hashlib
import shutil
import signal
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Issuer, Pair
from tests.e2e.process import Serving, command, environment, serving, until
from tests.wire import Wire, get

CURL = shutil.which("curl")
OPENSSL = shutil.which("openssl")
needs_curl = pytest.mark.skipif(CURL is None, reason="needs curl: apt-get install curl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="needs openssl: apt-get install openssl")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A repository that nothing has been put into yet, which is served in a moment."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def trusting(issuer: Issuer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=issuer.pem.decode())


def shown(server: Serving, client: ssl.SSLContext) -> bytes:
    """The certificate of a new connection, on which a request is answered, too."""
    with Wire(server.port, tls=client) as wire:
        wire.send(get("/health/live"))
        assert wire.answer().status == 200
        found: bytes = wire.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        return found


def events(server: Serving, name: str) -> list[dict[str, Any]]:
    return [event for event in server.events() if event["event"] == name]


def curl(server: Serving, *arguments: str | Path, path: str = "/health/live") -> tuple[int, str]:
    """The exit code of curl and what it printed: the status."""
    call = [str(CURL), "-s", "-o", "/dev/null", "-w", "%{http_code}", *map(str, arguments)]
    run = subprocess.run(
        [*call, f"https://localhost:{server.port}{path}"], capture_output=True, text=True, timeout=60, check=False
    )
    return run.returncode, run.stdout


def refused(folder: Path, *arguments: str | Path) -> tuple[int, str]:
    """The exit code and standard error of a `foretell serve` that does not start."""
    run = subprocess.run(
        [*command(), "serve", *map(str, arguments), "--port", "0"],
        cwd=folder,
        env=environment(FORETELL_STATE=str(folder / "state")),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return run.returncode, run.stderr


def options(pair: Sequence[Path], *more: str | Path) -> list[str]:
    return ["--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), *map(str, more)]


# -- development -----------------------------------------------------------------------------------------------------


@needs_curl
def test_a_self_signed_server_works_with_what_it_printed(empty: Path, tmp_path: Path) -> None:
    with serving(empty, tmp_path / "run", options=["--tls-self-signed"]) as server:
        made = tmp_path / "run" / "state" / "self-signed.pem"
        assert f"self-signed certificate {made}\n" in server.text
        assert curl(server, "--cacert", made) == (0, "200")
        assert curl(server)[0] == 60  # CURLE_PEER_FAILED_VERIFICATION
        der = shown(server, ssl.create_default_context(cafile=str(made)))
        printed = server.text.split("SHA-256 ")[1].split("\n")[0]
        assert printed.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
        (said,) = events(server, "security")
        assert said["bind"] == f"127.0.0.1:{server.port}"
        assert said["tls"].startswith("1.2 and 1.3, self-signed until ")
        assert said["weakened"] == "nothing"
        with Wire(server.port, tls=ssl.create_default_context(cafile=str(made))) as idle:
            idle.send(get("/health/live"))
            idle.answer()
            assert server.stop() == 0


# -- several workers -------------------------------------------------------------------------------------------------


def test_every_worker_follows_the_files(empty: Path, tmp_path: Path, issuer: Issuer) -> None:
    files = tmp_path / "tls"
    first, second, third = (issuer.server() for _ in range(3))
    arguments = options(first.write(files), "--workers", "2")
    with serving(empty, tmp_path / "run", options=arguments) as server:
        assert {shown(server, trusting(issuer)) for _ in range(8)} == {first.der}
        kept = Wire(server.port, tls=trusting(issuer))
        second.write(files)
        until(lambda: len(events(server, "tls_certificate_loaded")) == 2, "a worker did not take it up")
        assert {shown(server, trusting(issuer)) for _ in range(8)} == {second.der}
        Path(files / "server.key").write_text("damaged")
        until(lambda: len(events(server, "tls_certificate_kept")) == 2, "a worker did not tell of it")
        assert {shown(server, trusting(issuer)) for _ in range(8)} == {second.der}
        third.write(files)
        server.tell(signal.SIGHUP)
        until(lambda: {shown(server, trusting(issuer)) for _ in range(8)} == {third.der}, "SIGHUP did not reach all")
        with kept:
            kept.send(get("/health/live"))
            assert kept.answer().headers
        assert len(events(server, "security")) == 1
        assert server.stop() == 0


def test_other_issuers_of_callers_end_the_connections_of_before(empty: Path, tmp_path: Path, issuer: Issuer) -> None:
    files = tmp_path / "tls"
    ca, _ = issuer.write(files, "ca")
    client = trusting(issuer)
    client.load_cert_chain(*issuer.client().write(files, "caller"))
    arguments = options(issuer.server().write(files), "--tls-client-ca", ca)
    with serving(empty, tmp_path / "run", options=arguments, keep_alive_s=60) as server:
        with Wire(server.port, tls=client) as wire:
            wire.send(get("/health/live"))
            wire.answer()
            ca.write_bytes(Issuer.make().pem)
            assert wire.closed()
        with pytest.raises((ssl.SSLError, EOFError)), Wire(server.port, tls=client) as wire:
            wire.send(get("/health/live"))
            wire.answer()


# -- callers with certificates ---------------------------------------------------------------------------------------


@needs_curl
def test_curl_with_a_certificate_does_what_the_settings_grant(empty: Path, tmp_path: Path, issuer: Issuer) -> None:
    files = tmp_path / "tls"
    ca, _ = issuer.write(files, "ca")
    arguments = options(issuer.server().write(files), "--tls-client-ca", ca, "--workers", "2")
    granted: dict[str, Any] = {"tls__client_scopes": "models:read,ops=admin", "auth__mode": "on"}
    with serving(empty, tmp_path / "run", options=arguments, **granted) as server:

        def called(pair: Pair | None, path: str) -> tuple[int, str]:
            own: list[str | Path] = []
            if pair is not None:
                cert, key = pair.write(files, "caller")
                own = ["--cert", cert, "--key", key]
            return curl(server, "--cacert", ca, *own, path=path)

        shop, ops = issuer.client("shop"), issuer.client("ops")
        for _ in range(4):  # whichever worker it is
            assert called(shop, "/api/v1/models") == (0, "200")
            assert called(shop, "/api/v1/security") == (0, "403")
            assert called(ops, "/api/v1/security") == (0, "200")
        client = trusting(issuer)
        client.load_cert_chain(*ops.write(files, "caller"))
        with Wire(server.port, tls=client) as wire:
            wire.send(get("/api/v1/security"))
            told = wire.answer().json
        assert told["bind"] == f"127.0.0.1:{server.port}"
        assert told["certificate"]["names"] == ["localhost", "127.0.0.1"]
        assert (told["client_certificates"], told["auth"], told["weakened"]) == ("required", "on", [])
        for nobody in (None, Issuer.make().client("ops"), issuer.server(["ops"])):
            code, status = called(nobody, "/api/v1/models")
            assert code != 0
            assert status == "000"


@needs_openssl
@pytest.mark.parametrize(
    ("offer", "works"),
    [
        (["-tls1_3"], True),
        (["-tls1_2"], True),
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], False),
        (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], False),
        (["-tls1_2", "-cipher", "AES256-SHA:AES128-GCM-SHA256:@SECLEVEL=0"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_openssl_agrees_on_what_is_safe_only(encrypted: Serving, offer: list[str], works: bool) -> None:
    run = subprocess.run(
        [str(OPENSSL), "s_client", "-connect", f"127.0.0.1:{encrypted.port}", *offer],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (b"Cipher is (NONE)" not in run.stdout) is works, run.stdout[-2000:]


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Any:
    folder = tmp_path_factory.mktemp("encrypted")
    (folder / "models").mkdir()
    pair = issuer.server().write(folder)
    with serving(folder / "models", folder, options=options(pair)) as server:
        yield server


def test_with_issuers_of_callers_nothing_is_open_to_who_shows_no_certificate(
    empty: Path, tmp_path: Path, issuer: Issuer
) -> None:
    ca, _ = issuer.write(tmp_path, "ca")
    arguments = options(issuer.server().write(tmp_path), "--tls-client-ca", ca)
    with serving(empty, tmp_path / "run", options=arguments, tls__client_certificate="optional") as server:
        with Wire(server.port, tls=trusting(issuer)) as wire:
            wire.send(get("/api/v1/models"), get("/health/live"))
            assert [wire.answer().status for _ in range(2)] == [401, 200]
        stranger = trusting(issuer)
        stranger.load_cert_chain(*Issuer.make().client().write(tmp_path, "stranger"))
        with pytest.raises((ssl.SSLError, EOFError)), Wire(server.port, tls=stranger) as wire:
            wire.send(get("/health/live"))
            wire.answer()
        until(lambda: events(server, "tls_handshakes_failed"), "nobody was told of the stranger")


# -- reload ----------------------------------------------------------------------------------------------------------


def test_reload_speaks_tls_before_and_after(empty: Path, tmp_path: Path, issuer: Issuer) -> None:
    pair = issuer.server()
    folder = tmp_path / "run"
    with serving(empty, folder, options=options(pair.write(tmp_path / "tls"), "--reload")) as server:
        assert shown(server, trusting(issuer)) == pair.der
        (folder / "code.py").touch()
        until(lambda: len(events(server, "serving")) == 2, "it did not start again")
        assert shown(server, trusting(issuer)) == pair.der


# -- what does not start ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--workers", "2"], ["--reload"]], ids=str)
def test_a_network_without_tls_is_refused_with_every_way_out(empty: Path, tmp_path: Path, more: list[str]) -> None:
    code, said = refused(tmp_path, empty, "--host", "0.0.0.0", *more)
    assert code == 78
    error, *ways = said.rstrip("\n").split("\n")
    assert "is open to the network" in error and "(SW03)" in error
    assert "--accept-risk SW03" in ways[-1]
    assert len(ways) <= 5


def test_what_is_accepted_starts_and_is_told_everywhere(empty: Path, tmp_path: Path) -> None:
    arguments = ["--host", "0.0.0.0", "--accept-risk", "SW03", "--accept-risk", "SW01"]
    with serving(empty, tmp_path / "run", options=arguments, auth__mode="off") as server:
        assert server.text.count("SECURITY-WEAKENED SW03 ") == 1
        for code in ("SW01", "SW03"):
            assert f"SECURITY-WEAKENED {code} " in server.text
        (said,) = events(server, "security")
        assert said["bind"].startswith("0.0.0.0:")
        assert said["weakened"].startswith("SW01 (accepted) SW03 (accepted)")


@pytest.mark.parametrize("more", [[], ["--workers", "2"]], ids=str)
def test_a_key_of_another_certificate_is_refused_before_anything_starts(
    empty: Path, tmp_path: Path, issuer: Issuer, more: list[str]
) -> None:
    cert, _ = issuer.server().write(tmp_path, "one")
    _, key = issuer.server().write(tmp_path, "two")
    code, said = refused(tmp_path, empty, *options((cert, key)), *more)
    assert code == 78
    assert "does not belong to the certificate" in said
    assert "hint:" in said


def test_a_certificate_that_has_expired_is_refused(empty: Path, tmp_path: Path, issuer: Issuer) -> None:
    code, said = refused(tmp_path, empty, *options(issuer.server(starts_days=-9, ends_days=-1).write(tmp_path)))
    assert (code, "expired on" in said) == (78, True)
