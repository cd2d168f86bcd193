"""A context that follows its files: the next connection gets what is good in them, and nothing else changes it."""

from __future__ import annotations

import gc
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foretell.errors import CertificateUnusable
from foretell.security.tls import context as contexts
from foretell.security.tls.context import FollowingContext
from foretell.security.tls.files import TlsFiles
from foretell.security.tls.handshakes import HANDSHAKE_S, Handshakes
from tests.certificates import Issuer, Pair


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


@pytest.fixture
def files(tmp_path: Path, issuer: Issuer) -> TlsFiles:
    return TlsFiles(*issuer.server().write(tmp_path))


def trusting(issuer: Issuer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=issuer.pem.decode())


def served(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """The certificate that a client gets."""
    near, _ = connected(server, client)
    return near.getpeercert(binary_form=True)


def connected(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection, the client's first, that resumes ``session``."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    ends = [near, far]
    while ends:
        for end in ends[:]:
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
    return near, far


def events(logs: Sequence[Mapping[str, object]]) -> list[object]:
    return [entry["event"] for entry in logs]


def test_what_was_never_good_cannot_be_followed(tmp_path: Path) -> None:
    with pytest.raises(CertificateUnusable):
        FollowingContext(TlsFiles(tmp_path / "no.pem"))


def test_a_new_pair_is_what_the_next_connection_gets(tmp_path: Path, files: TlsFiles, issuer: Issuer) -> None:
    context = FollowingContext(files)
    fresh = issuer.server()
    fresh.write(tmp_path)
    assert served(context, trusting(issuer)) != fresh.der
    with capture_logs() as logs:
        assert not context.look()
        assert not context.look()
    assert events(logs) == ["tls_certificate_loaded"]
    assert logs[0]["fingerprint"] == context.leaf.fingerprint
    assert served(context, trusting(issuer)) == fresh.der


def test_a_certificate_whose_key_comes_later_is_waited_for_in_silence(
    tmp_path: Path, files: TlsFiles, issuer: Issuer
) -> None:
    context = FollowingContext(files)
    fresh = issuer.server()
    before = served(context, trusting(issuer))
    files.cert.write_bytes(fresh.pem)
    with capture_logs() as logs:
        context.look()
    assert not logs
    assert served(context, trusting(issuer)) == before
    assert files.key is not None
    files.key.write_bytes(fresh.key_pem())
    context.look()
    assert served(context, trusting(issuer)) == fresh.der


def bad_pairs(issuer: Issuer, other: Pair) -> dict[str, tuple[bytes, bytes]]:
    late = issuer.server(starts_days=-9, ends_days=-1)
    good = issuer.server()
    return {
        "expired": (late.pem, late.key_pem()),
        "of another key": (good.pem, other.key_pem()),
        "damaged": (b"-----BEGIN CERTIFICATE-----", good.key_pem()),
        "empty": (b"", b""),
    }


@pytest.mark.parametrize("fault", ["expired", "of another key", "damaged", "empty", "gone"])
def test_a_pair_that_cannot_serve_is_told_once_and_the_one_before_stays(
    tmp_path: Path, files: TlsFiles, issuer: Issuer, fault: str
) -> None:
    context = FollowingContext(files)
    before = served(context, trusting(issuer))
    assert files.key is not None
    if fault == "gone":
        files.cert.unlink()
    else:
        certificate, key = bad_pairs(issuer, issuer.server())[fault]
        files.cert.write_bytes(certificate)
        files.key.write_bytes(key)
    with capture_logs() as logs:
        for _ in range(5):
            context.look()
    assert events(logs) == ["tls_certificate_kept"]
    assert logs[0]["detail"] and logs[0]["still"] == context.leaf.fingerprint
    assert served(context, trusting(issuer)) == before
    mended = issuer.server()
    mended.write(tmp_path)
    context.look()
    assert served(context, trusting(issuer)) == mended.der


def test_who_asks_is_told_at_once_and_every_time(files: TlsFiles) -> None:
    context = FollowingContext(files)
    files.cert.write_text("damaged")
    with capture_logs() as logs:
        context.look(asked=True)
        context.look(asked=True)
        context.look()
    assert events(logs) == ["tls_certificate_kept"] * 2


def test_who_asks_gets_files_read_whose_times_stayed_the_same(
    tmp_path: Path, files: TlsFiles, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TlsFiles, "stamps", lambda _: ())
    context = FollowingContext(files)
    fresh = issuer.server()
    fresh.write(tmp_path)
    context.look()
    assert served(context, trusting(issuer)) != fresh.der
    context.look(asked=True)
    assert served(context, trusting(issuer)) == fresh.der


def test_files_that_change_while_they_are_read_are_left_to_the_next_look(
    tmp_path: Path, files: TlsFiles, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = FollowingContext(files)
    first, second = issuer.server(), issuer.server()
    first.write(tmp_path)
    real = contexts.open_context

    def slow(given: TlsFiles, handshakes: Handshakes) -> object:
        opened = real(given, handshakes)
        second.write(tmp_path)
        return opened

    monkeypatch.setattr(contexts, "open_context", slow)
    context.look()
    assert served(context, trusting(issuer)) not in (first.der, second.der)
    monkeypatch.undo()
    context.look()
    assert served(context, trusting(issuer)) == second.der


def test_only_other_issuers_of_callers_are_a_reason_to_ask_again(tmp_path: Path, issuer: Issuer) -> None:
    cert, key = issuer.server().write(tmp_path)
    ca, _ = issuer.write(tmp_path, "ca")
    context = FollowingContext(TlsFiles(cert, key, ca))
    issuer.server().write(tmp_path)
    assert context.look() is False
    ca.write_bytes(Issuer.make().pem)
    assert context.look() is True
    assert context.look() is False
    ca.unlink()
    assert context.look() is False


def test_callers_are_judged_by_the_issuers_of_now(tmp_path: Path, issuer: Issuer) -> None:
    cert, key = issuer.server().write(tmp_path)
    ca, _ = issuer.write(tmp_path, "ca")
    context = FollowingContext(TlsFiles(cert, key, ca))
    caller = trusting(issuer)
    caller.load_cert_chain(*issuer.client().write(tmp_path, "caller"))
    served(context, caller)
    other = Issuer.make()
    ca.write_bytes(other.pem)
    context.look()
    with pytest.raises(ssl.SSLError):
        served(context, caller)
    caller.load_cert_chain(*other.client().write(tmp_path, "caller"))
    served(context, caller)


@pytest.mark.parametrize("kind", ["none", "a server's", "another issuer's", "expired"])
def test_a_caller_without_a_certificate_that_holds_is_not_let_in(tmp_path: Path, issuer: Issuer, kind: str) -> None:
    cert, key = issuer.server().write(tmp_path)
    ca, _ = issuer.write(tmp_path, "ca")
    context = FollowingContext(TlsFiles(cert, key, ca))
    caller = trusting(issuer)
    shown: dict[str, Callable[[], Pair]] = {
        "a server's": issuer.server,
        "another issuer's": lambda: Issuer.make().client(),
        "expired": lambda: issuer.client(starts_days=-9, ends_days=-1),
    }
    if kind != "none":
        caller.load_cert_chain(*shown[kind]().write(tmp_path, "caller"))
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(ssl.SSLError):
                served(context, caller)
    assert events(logs) == ["tls_handshakes_failed"]
    (reason,) = logs[0]["reasons"]
    assert (reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE") is (kind == "none")


def test_handshakes_that_fail_are_told_once_in_a_while_with_how_many_there_were() -> None:
    now_s = [0.0]
    handshakes = Handshakes(lambda: now_s[0])
    error = ssl.SSLError(1, "no")
    with capture_logs() as logs:
        for second in range(25):
            now_s[0] = float(second)
            handshakes.failed(error)
    assert [entry["reasons"] for entry in logs] == [{"unknown": 1}, {"unknown": 10}, {"unknown": 10}]


@pytest.mark.parametrize("tickets", [True, False])
def test_a_session_is_not_resumed_beyond_the_time_of_the_certificate_it_began_with(
    tmp_path: Path, issuer: Issuer, tickets: bool
) -> None:
    """TLS 1.2, as OpenSSL keeps it: it asks a session that is resumed for no certificate."""
    ca, _ = issuer.write(tmp_path, "ca")
    now_s = [time.time()]
    handshakes = Handshakes(wall=lambda: now_s[0])
    context, _ = contexts.open_context(TlsFiles(*issuer.server().write(tmp_path), ca), handshakes)
    caller = trusting(issuer)
    caller.maximum_version = ssl.TLSVersion.TLSv1_2
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    caller.load_cert_chain(*issuer.client(ends_days=2).write(tmp_path, "caller"))
    first, _held = connected(context, caller)
    again, held = connected(context, caller, first.session)
    assert again.session_reused and held.getpeercert()
    now_s[0] += 3 * 86_400
    with capture_logs() as logs, pytest.raises(ssl.SSLError, match="has expired"):
        connected(context, caller, first.session)
    assert logs[0]["reasons"] == {"certificate has expired": 1}


def begun(context: ssl.SSLContext) -> ssl.SSLObject:
    """A connection that says nothing."""
    silent = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        silent.do_handshake()
    return silent


def test_no_more_handshakes_are_begun_than_may_be_under_way(files: TlsFiles, issuer: Issuer) -> None:
    context = FollowingContext(files)
    context.handshakes.most = 3
    silent = [begun(context) for _ in range(2)]
    for _ in range(5):
        served(context, trusting(issuer))  # done: it takes no place any more
    stranger = ssl.create_default_context()
    for _ in range(5):
        with pytest.raises(ssl.SSLError):
            served(context, stranger)
    assert context.handshakes.under_way <= 3
    context.look(asked=True)
    silent += [begun(context) for _ in range(3 - context.handshakes.under_way)]
    with capture_logs() as logs, pytest.raises(ssl.SSLError, match="too many handshakes"):
        begun(context)
    assert not logs or logs[0]["reasons"]["TOO_MANY_HANDSHAKES"] == 1
    silent.clear()
    gc.collect()
    assert context.handshakes.under_way == 0
    served(context, trusting(issuer))


def test_a_handshake_that_was_broken_off_is_not_counted_for_ever(files: TlsFiles) -> None:
    now_s = [0.0]
    context, _ = contexts.open_context(files, handshakes := Handshakes(lambda: now_s[0], most=2))
    held = [begun(context)]
    now_s[0] = HANDSHAKE_S - 1
    held.append(begun(context))
    with pytest.raises(ssl.SSLError, match="too many handshakes"):
        begun(context)
    now_s[0] = HANDSHAKE_S
    held.append(begun(context))
    assert handshakes.under_way == 2
    with pytest.raises(ssl.SSLError, match="too many handshakes"):
        begun(context)


def test_the_last_week_of_a_certificate_is_told_once(tmp_path: Path, issuer: Issuer) -> None:
    context = FollowingContext(TlsFiles(*issuer.server(ends_days=3).write(tmp_path)))
    with capture_logs() as logs:
        context.look()
        context.look()
    assert events(logs) == ["tls_certificate_expires_soon"]
    issuer.server().write(tmp_path)
    context.look()
    with capture_logs() as logs:
        context.look()
    assert not logs


def test_links_that_are_switched_over_are_followed(tmp_path: Path, issuer: Issuer) -> None:
    """As Kubernetes does with a secret: both files change in one step."""
    first, second = issuer.server(), issuer.server()
    for name, pair in (("one", first), ("two", second)):
        pair.write(tmp_path / name)
    (tmp_path / "data").symlink_to("one")
    context = FollowingContext(TlsFiles(tmp_path / "data" / "server.pem", tmp_path / "data" / "server.key"))
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").replace(tmp_path / "data")
    context.look()
    assert served(context, trusting(issuer)) == second.der
