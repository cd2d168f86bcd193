"""What is larger than the limits: refused early, read no further than the limit and 64 KB, at a constant memory
(faults.md, row 52). In the clear and over TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.certificates import Issuer
from tests.e2e.cost import Cost
from tests.e2e.process import Serving, serving
from tests.report import Report
from tests.wire import Wire, post

KIB, MIB = 1024, 1024 * 1024
LIMIT = MIB
HEAD_LIMIT = 40 * KIB
BESIDE = 64 * KIB
ONE_READ = 256 * 1024
"""What uvloop and asyncio take from a socket at once: where a limit is passed, the read that passes it is whole."""
ROW = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
PATH = b"/api/v1/models/iris/predict"
PIECE = b" " * 65_536
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % PATH
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


class Case(NamedTuple):
    """``first`` and then ``more``, again and again; ``most`` bytes of it may be read."""

    first: bytes
    more: bytes
    statuses: tuple[int, ...]
    most: int
    known: bool = True


CASES = {
    "a body of a stranger": Case(CHUNKED + b"\r\n", b"10000\r\n" + PIECE + b"\r\n", (401,), 0, known=False),
    "a long body of a stranger": Case(POST + b"Content-Length: 10000000000\r\n\r\n", PIECE, (401,), 0, known=False),
    "a body that says how long it is": Case(POST + b"Content-Length: 10000000000\r\n\r\n", PIECE, (413,), 0),
    "a body in chunks": Case(CHUNKED + b"\r\n", b"10000\r\n" + PIECE + b"\r\n", (413,), LIMIT),
    "a body to a path that is not there": Case(
        CHUNKED.replace(PATH, b"/nowhere") + b"\r\n", b"10000\r\n" + PIECE + b"\r\n", (404,), 0
    ),
    "chunks of one byte": Case(CHUNKED + b"\r\n", b"1\r\n \r\n" * 1000, (413,), 17_000 * 6),
    "a header": Case(POST + b"X-A: ", PIECE.replace(b" ", b"a"), (431,), HEAD_LIMIT),
    "headers": Case(POST, b"X-A: a\r\n" * 1000, (431,), HEAD_LIMIT),
    "a path": Case(b"GET /", PIECE.replace(b" ", b"a"), (414, 431), HEAD_LIMIT),
    "a query": Case(b"GET /health?", PIECE.replace(b" ", b"a"), (414, 431), HEAD_LIMIT),
    "an extension of a chunk": Case(CHUNKED + b"\r\n1;", PIECE.replace(b" ", b"a"), (400, 431), HEAD_LIMIT),
    "trailers": Case(CHUNKED + b"\r\n0\r\n", b"X-A: a\r\n" * 1000, (400, 431), HEAD_LIMIT),
    "a method": Case(b"", PIECE.replace(b" ", b"A"), (400,), HEAD_LIMIT),
}


class Guarded(NamedTuple):
    """A server that asks for a key, the key, and how it is connected to."""

    server: Serving
    key: str
    client: ssl.SSLContext | None


@pytest.fixture(scope="module", params=[False, True], ids=["clear", "tls"])
def guarded(
    request: pytest.FixtureRequest, soon_up: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    models = folder / "models"
    models.mkdir()
    shutil.copytree(soon_up, models / "iris")
    settings: dict[str, Any] = {"auth__mode": "on", "limits__max_body_bytes": LIMIT}
    issuer = Issuer.make() if request.param else None
    if issuer is not None:
        certificate, key = issuer.server().write(folder)
        settings |= {"tls__cert": certificate, "tls__key": key}
    with serving(models, folder, **settings) as server:
        (made,) = [event for event in server.events() if event["event"] == "admin_key_made"]
        trusting = None if issuer is None else ssl.create_default_context(cadata=issuer.pem.decode())
        found = Guarded(server, Path(made["path"]).read_text(encoding="ascii").strip(), trusting)
        settle(found)
        yield found


def settle(guarded: Guarded) -> None:
    """Everything that a first request makes has been made."""
    for _ in range(50):
        with Wire(guarded.server.port, tls=guarded.client) as wire:
            wire.send(post(PATH.decode(), ROW, f"X-API-Key: {guarded.key}"))
            assert wire.answer().status == 200
            wire.send(post(PATH.decode(), b" " * (LIMIT + 1), f"X-API-Key: {guarded.key}"))
            assert wire.answer().status == 413
        with Wire(guarded.server.port, tls=guarded.client) as wire:
            wire.send(post(PATH.decode(), ROW))
            assert wire.answer().status == 401


def pour(wire: Wire, case: Case, key: str, total: int) -> int:
    """Sends ``total`` bytes, or as many as the server takes."""
    host = b"Host: localhost\r\n"
    start = case.first.replace(host, host + b"X-API-Key: %b\r\n" % key.encode(), int(case.known))
    sent = 0
    with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
        wire.send(start)
        while sent < total:
            wire.send(case.more)
            sent += len(case.more)
    return sent


def offered(guarded: Guarded, case: Case, total: int) -> tuple[int, int]:
    """How much of it was taken off our hands, and what was said to it."""
    with Wire(guarded.server.port, tls=guarded.client) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        sent = pour(wire, case, guarded.key, total)
        return sent, wire.answer().status


def most(guarded: Guarded, cases: Iterable[Case]) -> int:
    """What may be read of them: up to the limit and 64 KB, and what the reads hold that go beyond it."""
    reads = 1 if guarded.client is None else 2  # one that is decrypted, and one ahead of it
    return sum(case.most + BESIDE + reads * ONE_READ for case in cases)


BAR = "refused, read ≤ limit + 64 KB (to the end of a read of 250 KB), memory + ≤ 5 MiB each"


def test_what_is_over_a_limit_is_refused_early_and_not_read(guarded: Guarded, report: Report) -> None:
    """All of it at once."""
    cost = Cost(guarded.server.process.pid)
    with ThreadPoolExecutor(len(CASES)) as pool:
        ends = list(pool.map(lambda case: offered(guarded, case, 32 * MIB), CASES.values()))
    report(
        f"{len(CASES)} kinds of input without an end at once, {'TLS' if guarded.client else 'in the clear'}",
        bar=BAR,
        offered=32 * MIB * len(CASES),
        read=cost.read_bytes,
        limits=sum(case.most for case in CASES.values()),
        grown_mib=cost.mib,
    )
    for (name, case), (sent, status) in zip(CASES.items(), ends, strict=True):
        assert status in case.statuses, name
        assert sent < 32 * MIB, name
    assert cost.read_bytes <= most(guarded, CASES.values())
    assert cost.mib <= 5 * len(CASES)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_a_gigabyte_over_a_limit(guarded: Guarded, name: str, report: Report) -> None:
    case = CASES[name]
    cost = Cost(guarded.server.process.pid)
    sent, status = offered(guarded, case, 1024 * MIB)
    report(
        f"A gigabyte of this, {'TLS' if guarded.client else 'in the clear'}: {name}",
        bar=BAR,
        status=status,
        read=cost.read_bytes,
        limit=case.most,
        grown_mib=cost.mib,
    )
    assert status in case.statuses
    assert sent < 1024 * MIB
    assert cost.read_bytes <= most(guarded, [case])
    assert cost.mib <= 5
