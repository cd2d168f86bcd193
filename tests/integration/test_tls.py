"""TLS around the protocol class: the same answers both ways, callers by certificates, certificates that change."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from foretell.core.access.grants import Grants
from foretell.core.access.principal import Principal
from foretell.security.base import Identities
from foretell.security.certificates import CertificateIdentities
from foretell.security.gate import Gate
from foretell.security.openness import stranger
from foretell.security.tls.context import FollowingContext
from foretell.security.tls.files import TlsFiles
from foretell.security.unlimited import Unlimited
from tests.certificates import Issuer, Pair
from tests.evil.client import connect
from tests.gates import Keys
from tests.report import Report
from tests.serving import Running, running
from tests.wire import Wire, get, post

PREDICT = "/api/v1/predict"
Serve = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.make()


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(tls: ssl.SSLContext, **options: Any) -> AbstractContextManager[Running]:
        return running(lane=request.param, tls=tls, **options)

    return start


@pytest.fixture
def context(tmp_path: Path, issuer: Issuer) -> FollowingContext:
    return FollowingContext(TlsFiles(*issuer.server().write(tmp_path)))


@pytest.fixture
def asking(tmp_path: Path, issuer: Issuer) -> FollowingContext:
    """Asks callers for a certificate, which they may have."""
    ca, _ = issuer.write(tmp_path, "ca")
    return FollowingContext(TlsFiles(*issuer.server().write(tmp_path), ca, required=False))


def trusting(issuer: Issuer, folder: Path | None = None, shown: Pair | None = None) -> ssl.SSLContext:
    client = ssl.create_default_context(cadata=issuer.pem.decode())
    if folder is not None and shown is not None:
        client.load_cert_chain(*shown.write(folder, f"caller-{id(shown)}"))
    return client


def ask(x: float, *headers: str) -> bytes:
    return post(PREDICT, json.dumps({"features": [x, 0]}).encode(), *headers)


def gate(*grants: str, **keys: Principal) -> Gate:
    """Knows callers by certificates, and by ``keys``; lets nobody else in."""
    known = Keys({f"ft_{name}": principal for name, principal in keys.items()})
    identities: dict[str, Identities] = {"certificate": CertificateIdentities(Grants.parse(grants)), "key": known}
    return Gate(identities, Unlimited(), lambda loopback: stranger("on", loopback=loopback, closed=True), time.time)


# -- the same answers ------------------------------------------------------------------------------------------------


def test_one_connection_answers_many_in_order_whatever_comes_together(
    serve: Serve, context: FollowingContext, issuer: Issuer
) -> None:
    with serve(context) as server, Wire(server.port, tls=trusting(issuer)) as wire:
        assert wire.socket.version() == "TLSv1.3"  # type: ignore[attr-defined]
        for _ in range(3):
            wire.send(*(ask(x) for x in range(20)), get("/health/live"))
            assert [wire.answer().json["prediction"] for _ in range(20)] == [10.0 * x for x in range(20)]
            assert wire.answer().status == 200


def test_a_request_may_come_in_any_number_of_records(serve: Serve, context: FollowingContext, issuer: Issuer) -> None:
    with serve(context) as server, Wire(server.port, tls=trusting(issuer)) as wire:
        for byte in ask(4):
            wire.send(bytes([byte]))
        assert wire.answer().json["prediction"] == 40.0
        large = json.dumps({"features": [[1, 2]] * 1000, "model_version": "v1" + " " * 200_000}).encode()
        wire.send(post("/api/v1/predict/batch", large))
        assert wire.answer().status == 404


def test_a_stop_answers_what_was_accepted(serve: Serve, context: FollowingContext, issuer: Issuer) -> None:
    with serve(context) as server, Wire(server.port, tls=trusting(issuer)) as idle:
        idle.send(ask(1))
        idle.answer()
        with Wire(server.port, tls=trusting(issuer)) as busy:
            whole = ask(2)
            busy.send(whole[:-3])
            server.eventually(lambda: len(server.server.server_state.connections) == 2)
            server.stop()
            assert idle.closed()
            busy.send(whole[-3:])
            assert busy.answer().status in (200, 503)


def test_plain_http_on_an_encrypted_port_gets_nothing_and_harms_nobody(
    serve: Serve, context: FollowingContext, issuer: Issuer
) -> None:
    with serve(context) as server:
        for garbage in (ask(1), b"\x16\x03\x01\x00\x05hello", b"\x00" * 1000, b""):
            with Wire(server.port) as plain:
                plain.send(garbage)
                plain.socket.shutdown(1)
                with pytest.raises(EOFError):
                    plain.answer()
        with Wire(server.port, tls=trusting(issuer)) as wire:
            wire.send(ask(3))
            assert wire.answer().json["prediction"] == 30.0


def test_callers_that_begin_a_handshake_and_fall_silent_keep_out_no_more_than_their_share(
    context: FollowingContext, issuer: Issuer
) -> None:
    with running(tls=context) as server, Wire(server.port, tls=trusting(issuer)) as before:
        context.handshakes.most = 3
        silent = [connect(server.port) for _ in range(8)]
        silent[0].send(b"\x16\x03\x01")
        server.eventually(lambda: context.handshakes.under_way == 3)
        with pytest.raises(OSError, match=r"EOF|reset"), Wire(server.port, tls=trusting(issuer)):
            raise AssertionError("a handshake beyond those that may be under way was done")
        before.send(ask(1))
        assert before.answer().status == 200
        for each in silent:
            each.close()
        server.eventually(lambda: context.handshakes.under_way == 0)
        with Wire(server.port, tls=trusting(issuer)) as after:
            after.send(ask(2))
            assert after.answer().json["prediction"] == 20.0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_not_spoken(context: FollowingContext, issuer: Issuer, version: ssl.TLSVersion) -> None:
    old = trusting(issuer)
    old.minimum_version = old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    with running(tls=context) as server, pytest.raises(ssl.SSLError):
        Wire(server.port, tls=old)


def test_http_1_1_is_what_is_agreed_on(context: FollowingContext, issuer: Issuer) -> None:
    client = trusting(issuer)
    client.set_alpn_protocols(["h2", "http/1.1"])
    with running(tls=context) as server, Wire(server.port, tls=client) as wire:
        assert wire.socket.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]


# -- callers by their certificates -----------------------------------------------------------------------------------


def test_a_certificate_is_let_in_as_its_name_and_does_what_it_may(
    serve: Serve, asking: FollowingContext, issuer: Issuer, tmp_path: Path
) -> None:
    shop, ops = issuer.client("shop"), issuer.client("x", uris=["spiffe://x/ops"])
    with serve(asking, gate=gate("predict", "spiffe://x/ops=admin")) as server:
        with Wire(server.port, tls=trusting(issuer, tmp_path, shop)) as wire:
            for _ in range(2):
                wire.send(ask(2), get("/api/v1/security"), get("/api/v1/models"))
                assert [wire.answer().status for _ in range(3)] == [200, 403, 403]
        with Wire(server.port, tls=trusting(issuer, tmp_path, ops)) as wire:
            wire.send(ask(2), get("/api/v1/security"))
            assert wire.answer().status == 200
            told = wire.answer().json
            assert (told["bind"], told["weakened"]) == ("by another server", [])  # the test's own uvicorn listens
        with Wire(server.port, tls=trusting(issuer)) as wire:
            wire.send(get("/health/live"), ask(2))
            assert [wire.answer().status for _ in range(2)] == [200, 401]


def test_the_lane_takes_callers_with_certificates(asking: FollowingContext, issuer: Issuer, tmp_path: Path) -> None:
    client = trusting(issuer, tmp_path, issuer.client("shop"))
    with running(tls=asking, gate=gate("predict")) as server, Wire(server.port, tls=client) as wire:
        for x in range(3):
            wire.send(ask(x))
            assert wire.answer().json["prediction"] == 10.0 * x
        server.eventually(lambda: server.services.servable.served.lane == 3)


def test_what_falls_out_of_the_lane_is_the_same_caller(
    asking: FollowingContext, issuer: Issuer, tmp_path: Path
) -> None:
    client = trusting(issuer, tmp_path, issuer.client("shop"))
    with running(tls=asking, gate=gate("predict")) as server, Wire(server.port, tls=client) as wire:
        wire.send(post(PREDICT, b'{"features": [1]}'))
        assert wire.answer().status == 400


def test_a_key_goes_before_a_certificate_and_a_wrong_one_does_not_fall_back_to_it(
    serve: Serve, asking: FollowingContext, issuer: Issuer, tmp_path: Path
) -> None:
    reader = Principal("key:reader", "key", "reader", frozenset({"models:read"}))
    client = trusting(issuer, tmp_path, issuer.client("shop"))
    with serve(asking, gate=gate("predict", reader=reader)) as server, Wire(server.port, tls=client) as wire:
        wire.send(ask(1, "X-API-Key: ft_reader"))
        assert wire.answer().status == 403
    with serve(asking, gate=gate("predict", reader=reader)) as server, Wire(server.port, tls=client) as wire:
        wire.send(ask(1, "X-API-Key: ft_wrong"))
        assert wire.answer().status == 401


def test_a_certificate_without_a_name_that_can_be_used_is_nobody(
    serve: Serve, asking: FollowingContext, issuer: Issuer, tmp_path: Path
) -> None:
    client = trusting(issuer, tmp_path, issuer.client(("one", "two")))  # type: ignore[arg-type]
    with serve(asking, gate=gate("predict")) as server, Wire(server.port, tls=client) as wire:
        wire.send(ask(1))
        assert wire.answer().status == 401


def test_no_header_makes_a_certificate(serve: Serve, asking: FollowingContext, issuer: Issuer) -> None:
    with serve(asking, gate=gate("predict", "ops=admin")) as server:
        for header in ("X-SSL-Client-CN: ops", "X-Forwarded-Client-Cert: Subject=CN=ops", "foretell.certificate: ops"):
            with Wire(server.port, tls=trusting(issuer)) as wire:
                wire.send(ask(1, header))
                assert wire.answer().status == 401


# -- certificates that change ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rotations", "requests"),
    [(5, 400), pytest.param(100, 50_000, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])],
)
def test_certificates_change_under_requests_and_none_fails(
    serve: Serve,
    context: FollowingContext,
    issuer: Issuer,
    tmp_path: Path,
    report: Report,
    request: pytest.FixtureRequest,
    rotations: int,
    requests: int,
) -> None:
    """Four callers, of whom two keep their connection and two take a new one for every few requests.

    The first of them brings the certificates, with the same number of its requests between any two.
    """
    seen: set[bytes] = set()
    failures: list[BaseException] = []
    each = requests // 4
    turns = {each * (turn + 1) // (rotations + 1) for turn in range(rotations)}

    def bring(request: int) -> None:
        if request in turns:
            issuer.server().write(tmp_path)
            context.look()

    with serve(context) as server:
        callers = [
            Caller(server.port, trusting(issuer), number, each, seen, failures, before=None if number else bring)
            for number in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    way = request.node.callspec.params["serve"]
    report(
        f"TLS certificates that change under requests, {'with' if way else 'without'} the lane",
        bar="0 failures",
        certificates=len(seen),
        requests=sum(caller.answered for caller in callers),
        failures=len(failures),
    )
    assert not failures, failures[:3]
    assert [caller.answered for caller in callers] == [each] * 4
    assert len(seen) == rotations + 1


class Caller(threading.Thread):
    """Asks for ``count`` predictions, one after the other; notes the certificates it is shown, and what goes wrong."""

    def __init__(
        self,
        port: int,
        client: ssl.SSLContext,
        number: int,
        count: int,
        seen: set[bytes],
        failures: list[BaseException],
        before: Callable[[int], None] | None,
    ) -> None:
        super().__init__(name=f"caller-{number}")
        self.answered = 0
        self._ask = port, client, number, count
        self._notes = seen, failures
        self._before = before

    def run(self) -> None:
        try:
            while self.answered < self._ask[3]:
                self._connect()
        except BaseException as error:
            self._notes[1].append(error)

    def _connect(self) -> None:
        port, client, number, count = self._ask
        with Wire(port, tls=client) as wire:
            self._notes[0].add(wire.socket.getpeercert(binary_form=True))  # type: ignore[attr-defined]
            for _ in range(min(count if number % 2 else 5, count - self.answered)):
                if self._before is not None:
                    self._before(self.answered)
                x = self.answered * 4 + number
                wire.send(ask(x))
                assert wire.answer().json["prediction"] == 10.0 * x
                self.answered += 1
