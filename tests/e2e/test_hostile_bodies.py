"""JSON that lies, compressed bodies that grow, forms that are hard to take apart: refused in little time and memory
(faults.md, rows 49, 53 and 57)."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.e2e.cost import Cost
from tests.e2e.models import Repository
from tests.e2e.process import Serving, serving
from tests.evil.bodies import ROW, Body, bombs, forms, lies
from tests.report import Report
from tests.wire import Wire, post

PATH = "/api/v1/models/iris/predict"
CAP_MIB = 8
TRIES = 5
NAMES: dict[object, str] = {
    lies: "JSON that lies",
    bombs: "Compressed bodies that grow",
    forms: "Forms that are hard to take apart",
}


@pytest.fixture(scope="module")
def inflating(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that reads compressed bodies."""
    folder = tmp_path_factory.mktemp("inflating")
    with serving(repository.models / "iris", folder, wire__compressed=True) as server:
        headers = "Content-Type: application/json", "Content-Encoding: gzip"
        for _ in range(10):  # everything that a first request makes has been made
            assert ask(server, Body("a row", gzip.compress(ROW), headers)) == 200
            noise = os.urandom(1024 * 1024)  # large enough for a thread
            assert ask(server, Body("no row", gzip.compress(noise), headers)) == 400
            assert ask(server, Body("no compression", ROW, headers)) == 400
        yield server


def ask(server: Serving, body: Body) -> int:
    with Wire(server.port) as wire:
        head, _, _ = post(PATH, b"").partition(b"Content-Type")
        lines = [f"Content-Length: {len(body.data)}", *body.headers, "", ""]
        wire.send(head, "\r\n".join(lines).encode("latin-1"), body.data)
        answer = wire.answer()
    assert answer.status == 200 or len(answer.body) <= 4096, body.name
    return answer.status


def judged(server: Serving, bodies: Iterable[Body], statuses: tuple[int, ...], most_ms: float) -> dict[str, float]:
    """The processor time that each took, at best."""
    taken: dict[str, float] = {}
    for body in bodies:
        best = float("inf")
        for _ in range(TRIES):
            cost = Cost(server.process.pid)
            status = ask(server, body)
            assert status in statuses, (body.name, status)
            best = min(best, cost.cpu_ms)
            if best <= most_ms / 4:
                break
        taken[body.name] = best
    return taken


@pytest.mark.parametrize(
    ("made", "statuses", "most_ms"),
    [(lies, (400, 422), 50.0), (bombs, (400, 413, 415), 200.0), (forms, (400, 413, 415), 100.0)],
)
def test_hostile_bodies_are_refused_in_little_time_and_memory(
    inflating: Serving, made: Callable[[], Iterator[Body]], statuses: tuple[int, ...], most_ms: float, report: Report
) -> None:
    memory = 0.0
    for body in made():
        cost = Cost(inflating.process.pid)
        assert ask(inflating, body) in statuses, body.name
        memory = max(memory, cost.mib)
    taken = judged(inflating, made(), statuses, most_ms)
    slowest = max(taken, key=taken.__getitem__)
    report(
        NAMES[made],
        bar=f"{', '.join(map(str, statuses))}, ≤ {most_ms:g} ms of processor time each"
        + (", memory + ≤ 8 MiB, the cap, each" if made is bombs else ""),
        bodies=len(taken),
        worst_ms=taken[slowest],
        slowest=slowest,
        grown_mib=memory,
    )
    assert taken[slowest] <= most_ms, slowest
    assert made is not bombs or memory <= CAP_MIB
