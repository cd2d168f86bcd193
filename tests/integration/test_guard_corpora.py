"""What is sent to a server by those who mean harm: none of it is taken for a request it is not."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from foretell.security.tls.context import FollowingContext
from foretell.security.tls.files import TlsFiles
from tests.certificates import Issuer
from tests.evil import headers, hosts, smuggling
from tests.evil.client import talk
from tests.evil.paths import names
from tests.serving import Running, running
from tests.wire import Wire, get, post

ROW = b'{"features": [1, 2]}'
PATHS = ["/predict", "/api/v1/predict", "/api/v1/predict/batch", "/health", "/docs", "/api/v1/models", "/nowhere"]
CASES = list(smuggling.cases())


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(lane=request.param, keep_alive_s=2) as serving:
        yield serving


def test_there_are_as_many_smuggling_cases_as_were_asked_for() -> None:
    assert len(CASES) >= 300
    assert len(hosts.MALFORMED) + len(hosts.MISDIRECTED) >= 60
    assert len(list(names())) >= 500


@pytest.mark.parametrize("pieces", [1, 3], ids=["whole", "in pieces"])
def test_no_smuggled_request_is_ever_answered(server: Running, pieces: int) -> None:
    wrong = []
    for case in CASES if pieces == 1 else CASES[::5]:
        size = -(-len(case.data) // pieces)
        got = talk(server.port, *(case.data[at : at + size] for at in range(0, len(case.data), size)))
        if not got.ended or len(got.statuses) > 1 or got.rest or "smuggled" in server.observer.ids:
            wrong.append((case.name, got))
    assert not wrong
    assert "smuggled" not in server.observer.ids


MANY_CHUNKS = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20


class Encrypted(NamedTuple):
    """A server that speaks TLS, which waits half a second for a head, and how to connect to it."""

    server: Running
    client: ssl.SSLContext


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def encrypted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    issuer = Issuer.make()
    cert, key = issuer.server().write(tmp_path_factory.mktemp("tls"))
    context = FollowingContext(TlsFiles(cert, key))
    limits = {"head_s": 0.5, "body_s": 1, "max_chunks": 16}
    with running(lane=request.param, keep_alive_s=2, tls=context, wire=limits) as server:
        yield Encrypted(server, ssl.create_default_context(cadata=issuer.pem.decode()))


def test_no_smuggled_request_is_answered_over_tls_either(encrypted: Encrypted) -> None:
    server, some = encrypted.server, CASES[::6]
    with ThreadPoolExecutor(25) as pool:  # a refused connection takes a second to end
        talks = list(pool.map(lambda case: talk(server.port, case.data, tls=encrypted.client), some))
    wrong = [
        (case.name, got)
        for case, got in zip(some, talks, strict=True)
        if not got.ended or len(got.statuses) > 1 or got.rest
    ]
    assert not wrong
    assert "smuggled" not in server.observer.ids


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"", ()),
        (b"GET /health HTTP/1.1\r\nHo", (408,)),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", (408,)),
        (
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20,
            (413,),
        ),
        (b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", (421,)),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", (200,)),
    ],
    ids=["silence", "half a head", "half a body", "chunks", "host", "keep alive"],
)
def test_what_does_not_come_in_time_or_comes_in_pieces_ends_over_tls_as_well(
    encrypted: Encrypted, data: bytes, statuses: tuple[int, ...]
) -> None:
    got = talk(encrypted.server.port, data, wait_s=10, tls=encrypted.client)
    assert (got.statuses, got.ended) == (statuses, True)


def test_what_is_right_is_answered_in_order_however_unusual(server: Running) -> None:
    for case in smuggling.pipelined():
        with Wire(server.port) as wire:
            wire.send(case.data)
            assert [wire.answer().status for _ in range(case.answers)] == [200] * case.answers, case.name


SMALL = {"max_head_bytes": 2048, "max_target_bytes": 256}
LONG = post("/predict", ROW + b" " * 6000)
PLAIN = post("/predict", ROW)
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n%b\r\n0\r\n\r\n" % ROW


@pytest.mark.parametrize("way", ["lane", "ordinary"])
@pytest.mark.parametrize(
    ("second", "cut"),
    [(PLAIN, 2), (PLAIN, 30), (PLAIN, len(PLAIN) - 30), (CHUNKED, 40), (CHUNKED, -25), (CHUNKED, -7)],
    ids=["its method", "its target", "its headers", "its coding", "its first chunk", "its last chunk"],
)
def test_what_came_before_a_head_or_a_body_is_not_counted_as_a_part_of_it(way: str, second: bytes, cut: int) -> None:
    """Requests that were sent together arrive in any pieces: one may hold the end of one and the start of the next."""
    with running(lane=way == "lane", wire=SMALL) as server, Wire(server.port) as wire:
        for _ in range(3):
            wire.send(LONG, second[:cut])
            assert wire.answer().status == 200
            wire.send(second[cut:])
            assert wire.answer().status == 200


@pytest.mark.parametrize("way", ["lane", "ordinary"])
@pytest.mark.parametrize(
    "second",
    [b"GET /health HTTP/1.1\r\nX: ", CHUNKED[:-5] + b"0;", CHUNKED[:-5] + b"0\r\nX: "],
    ids=["header", "extension", "trailer"],
)
def test_what_comes_after_another_request_is_held_to_the_same_limits(way: str, second: bytes) -> None:
    with running(lane=way == "lane", wire=SMALL) as server, Wire(server.port) as wire:
        wire.send(LONG, second)
        assert wire.answer().status == 200
        wire.send(b"x" * 3000)
        assert wire.answer().status == 431
        assert wire.closed()


def test_trailers_are_not_taken_for_headers(server: Running) -> None:
    with Wire(server.port) as wire:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.send(head, b"%x\r\n%b\r\n0\r\nX-Request-ID: trailed\r\nContent-Type: text/csv\r\n\r\n" % (len(ROW), ROW))
        answer = wire.answer()
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "trailed"


@pytest.mark.parametrize("path", PATHS)
def test_a_host_that_is_none_or_not_ours_is_refused_on_every_route(server: Running, path: str) -> None:
    for values, status in ((hosts.MALFORMED, 400), (hosts.MISDIRECTED, 421)):
        for value in values:
            lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: " + value, b"Content-Length: %d" % len(ROW), b"", ROW]
            got = talk(server.port, b"\r\n".join(lines))
            assert (got.statuses, got.ended) == ((status,), True), (value, got)
    for value in hosts.RIGHT:
        with Wire(server.port) as wire:
            wire.send(post(path, ROW, host=value.decode()))
            assert wire.answer().status not in (400 if path == "/predict" else 421, 421), value


def test_http_1_0_and_two_hosts(server: Running) -> None:
    assert talk(server.port, b"GET /health/live HTTP/1.0\r\n\r\n").statuses == (200,)
    assert talk(server.port, b"GET /health/live HTTP/1.0\r\nHost: evil.example\r\n\r\n").statuses == (421,)
    assert talk(server.port, b"GET /health/live HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n").statuses == (
        400,
    )
    whole = b"GET http://localhost/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert talk(server.port, whole).statuses == (200,)


def test_names_that_are_paths_find_nothing(server: Running) -> None:
    with Wire(server.port) as wire:
        for index, name in enumerate(names()):
            path = name.encode().replace(b" ", b"%20").replace(b"\t", b"%09")
            for template in (b"/api/v1/models/%b", b"/api/v1/models/sum/versions/%b", b"/docs/assets/%b")[index % 3 :][
                :1
            ]:
                data = b"GET " + template % path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
                with Wire(server.port) as single:
                    single.send(data)
                    answer = single.answer()
                if name == "latest" and answer.status == 200:
                    continue  # a version's name, after all
                assert answer.status in (400, 404, 405), (name, answer)
                assert b"root:" not in answer.body
        wire.send(get("/health/live"))
        assert wire.answer().status == 200


def test_what_headers_hold_does_not_act_on_answers_or_on_what_is_told(server: Running) -> None:
    before = len(server.observer.ids)
    sent = 0
    for value in headers.INJECTED:
        for name in (b"User-Agent", b"X-Request-ID", b"Referer", b"X-Forwarded-For", b"Origin"):
            with Wire(server.port) as wire:
                wire.send(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n", name + b": " + value)
                wire.send(b"\r\n\r\n", ROW)
                answer = wire.answer()
            assert answer.status in (200, 400), "control characters are none that a header may hold"
            sent += answer.status == 200
            assert value.decode("latin-1") not in (answer.headers["x-request-id"], json.dumps(answer.headers))
    server.eventually(lambda: len(server.observer.ids) == before + sent)
    assert sent > len(headers.INJECTED)
    assert all(each.isascii() and each.isprintable() and len(each) <= 128 for each in server.observer.ids)
