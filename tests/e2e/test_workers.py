"""`--workers 2`: one port, deaths survived, rescans everywhere, and a stop that loses nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, message
from tests.e2e.load import FLOWER, Load
from tests.e2e.models import Repository
from tests.e2e.process import Serving, children, serving, until
from tests.wire import Wire

PATIENT: dict[str, Any] = {"limits__max_waiting_rows": 100_000, "limits__max_queue_s": 600, "limits__timeout_s": 100}
"""How long a batch waits on a busy machine is no reason to refuse it."""


@pytest.fixture(scope="module")
def models(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of iris alone that a test may change and has to leave as it was."""
    folder = tmp_path_factory.mktemp("iris") / "models"
    shutil.copytree(repository.models / "iris", folder / "iris")
    return folder


@pytest.fixture(scope="module")
def two(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(models, tmp_path_factory.mktemp("two"), options=["--workers", "2"]) as server:
        until(lambda: len(children(server)) == 2, "two workers")
        until(lambda: len(answering(server)) == 2, "both answer")
        yield server


def answering(server: Serving) -> set[int]:
    """The workers that hold one of many fresh connections."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(24)]
        for client in clients:
            assert client.get("/health").status == 200
        listing = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port, established = f":{server.port:04X}", "01"
        sockets = {f"socket:[{line[9]}]" for line in listing if line[1].endswith(port) and line[3] == established}
        return {pid for pid in children(server) if sockets & opened(pid)}


def opened(pid: int) -> set[str]:
    """What a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            found.add(str(entry.readlink()))
    return found


def latest(server: Serving) -> set[Any]:
    """What `latest` stands for, asked of many fresh connections."""
    found = set()
    for _ in range(24):
        with Client(server.port) as client:
            found.add(client.get("/api/v1/models/iris").json["aliases"].get("latest"))
    return found


def publish(models: Path, version: str, source: str = "v1") -> None:
    """A new version appears whole."""
    hidden = models / "iris" / f".{version}"
    shutil.copytree(models / "iris" / source, hidden)
    hidden.rename(models / "iris" / version)


def test_a_worker_that_is_killed_is_replaced_and_the_other_answers(two: Serving) -> None:
    victim, other = children(two)
    os.kill(victim, signal.SIGKILL)
    with Client(two.port) as client:
        for _ in range(20):
            assert client.post("/predict", {"features": FLOWER}).status == 200
    until(lambda: len(now := children(two)) == 2 and victim not in now, "another worker takes its place")
    assert other in children(two)
    with Load(two.port) as load:
        until(lambda: load.answered > 100, "the two answer")
    assert load.faults == []


def test_a_rescan_reaches_every_worker_and_loses_no_request(two: Serving, models: Path) -> None:
    assert latest(two) == {"v2"}
    with Load(two.port) as load:
        until(lambda: load.answered > 50, "requests come")
        publish(models, "v10")
        two.tell(signal.SIGHUP)
        until(lambda: latest(two) == {"v10"}, "the new version in both workers")
        seen = load.answered
        until(lambda: load.answered > seen + 50, "requests go on")
        shutil.rmtree(models / "iris" / "v10")
        two.tell(signal.SIGHUP)
        until(lambda: latest(two) == {"v2"}, "the version before it in both workers")
        seen = load.answered
        until(lambda: load.answered > seen + 50, "requests go on")
    assert load.faults == []
    assert load.versions == {"v2", "v10"}


@pytest.mark.parametrize(("workers", "mode"), [("1", "threaded"), ("2", "hosted")])
def test_what_is_under_way_at_a_stop_ends(repository: Repository, place: Path, workers: str, mode: str) -> None:
    """Large batches are waiting when SIGTERM comes; each gets its answer, and then the server ends with 0."""
    model = repository.model("breast-cancer")
    rows = model.take(1000)
    body = b'{"features": ' + repr(model.lists(rows)).encode() + b"}"
    request = message("POST", "/predict/batch", body, {"Content-Type": "application/json"})
    options = ["--workers", workers, "--mode", mode]
    with (
        serving(repository.models / "breast-cancer", place, options=options, **PATIENT) as server,
        ExitStack() as stack,
    ):
        wires = [stack.enter_context(Wire(server.port)) for _ in range(12)]
        for wire in wires:
            wire.send(request)
        first = wires[0].answer()
        server.tell(signal.SIGTERM)
        answers = [first]
        for wire in wires[1:]:
            with suppress(EOFError):  # a request that nobody had begun to read when the signal came was not accepted
                answers.append(wire.answer())
        assert {answer.status for answer in answers} <= {200, 503}
        assert sum(answer.status == 200 for answer in answers) >= 2, "some were accepted before the signal"
        wanted = model.predictions(rows)
        for answer in answers:
            if answer.status == 200:
                assert answer.json["predictions"] == wanted
            else:
                assert answer.json["code"] == "draining" and int(answer.headers["retry-after"]) >= 1
        assert server.ended() == 0


def test_a_stop_while_requests_come_loses_none_that_was_accepted(models: Path, place: Path) -> None:
    """A caller sees a right answer, or a refusal that says so, or a connection closed before anything was said."""
    with serving(models, place) as server, Load(server.port) as load:
        until(lambda: load.answered > 100, "requests come")
        assert server.stop() == 0
        load.stop()
        for fault in load.faults:
            if not isinstance(fault, OSError | EOFError):
                assert fault.status == 503 and fault.json["code"] == "draining", fault
        logged = [line for line in server.requests() if line["route"] == "/predict" and line["status"] == 200]
        assert len(logged) == load.answered, "every answer that was made was received"
        with pytest.raises(OSError):
            Wire(server.port)


def test_a_stop_ends_with_0_and_every_request_has_its_line(two: Serving) -> None:
    """The last test of the module: it stops the server of the others."""
    ids = [f"kept-{index}" for index in range(200)]
    with Client(two.port) as one, Client(two.port) as other:
        for index, request_id in enumerate(ids):
            client = one if index % 2 else other
            assert client.post("/predict", {"features": FLOWER}, {"X-Request-ID": request_id}).status == 200
    assert two.stop() == 0
    assert sorted(line["request_id"] for line in two.requests(*ids)) == sorted(ids)
