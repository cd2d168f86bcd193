"""Hosted models that misbehave: only their own requests fail, each with its status, and they are back at once."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foretell.execution.hosted.breaker import MOST_DEATHS
from tests.e2e.client import Client
from tests.e2e.load import Load
from tests.e2e.process import Serving, command, environment, free_port, serving, setting_variables, started, until
from tests.hosting import DEEDS, MISBEHAVING
from tests.report import Report

MODEL = "/api/v1/models/misbehaving"
LIMITS: dict[str, Any] = {"execution__timeout_s": 6, "execution__memory_mib": 500, "limits__timeout_s": 30}


@pytest.fixture
def models(soon_up: Path, tmp_path: Path) -> Path:
    """Iris beside a model that does what it is told."""
    folder = tmp_path / "models"
    shutil.copytree(soon_up, folder / "iris")
    version = folder / "misbehaving" / "v1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MISBEHAVING)
    return folder


@pytest.fixture
def server(models: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serving]:
    deed = getattr(request.node, "callspec", None) and request.node.callspec.params.get("deed")
    # whatever ends by itself may take its time about it on a busy machine
    limits = LIMITS if deed in (None, "hang", "print") else LIMITS | {"execution__timeout_s": 25}
    with serving(models, tmp_path / "server", options=["--default-model", "iris"], **limits) as running:
        yield running


def ask(client: Client, x: float, deed: str = "") -> Any:
    return client.post(f"{MODEL}/predict", {"features": [x, DEEDS.get(deed, 0)]})


def hosts(server: Serving) -> list[int]:
    """The process ids of the hosts that are running, as the log tells them."""
    pids = [event["pid"] for event in server.events() if event["event"] == "host_ready"]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("deed", "status", "code", "cause"),
    [
        ("hang", 504, "deadline_exceeded", "time_limit"),
        ("print", 504, "deadline_exceeded", "time_limit"),
        ("segfault", 500, "model_crashed", "crashed"),
        ("exit", 500, "model_crashed", "crashed"),
        ("eat", 500, "model_crashed", "memory_limit"),
        ("garbage", 500, "model_crashed", "garbage"),
    ],
)
def test_only_the_request_fails_that_did_it(
    server: Serving, deed: str, status: int, code: str, cause: str, report: Report
) -> None:
    with Load(server.port) as load, Client(server.port) as client:
        assert ask(client, 1.0).json["prediction"] == 2.0
        neighbours = [Neighbour(server.port, float(i)) for i in range(8)]
        for neighbour in neighbours:
            neighbour.start()
        answer = ask(client, 1.5, deed)
        assert (answer.status, answer.json["code"]) == (status, code)
        for neighbour in neighbours:
            neighbour.stop()
        assert [fault for neighbour in neighbours for fault in neighbour.faults] == []
        assert ask(client, 3.0).json["prediction"] == 6.0
        seen = load.answered
        until(lambda: load.answered > seen + 20, "the other model answers")
    assert load.faults == []
    until(lambda: len(hosts(server)) == 1, "one host, and one only")
    died = [event for event in server.events() if event["event"] == "host_died"]
    report(
        f"A hosted model that does this: {deed}; only its own request fails",
        bar="0 others failed",
        status=str(answer.status),
        neighbours_answered=sum(neighbour.answered for neighbour in neighbours),
        other_model_answered=load.answered,
    )
    causes = [event["cause"] for event in died]
    assert causes in ([cause], [cause] * 2), "the second time alone, where it shared its first call with a neighbour"


class Neighbour(threading.Thread):
    """Asks the same model, on a connection of its own, until it is told to stop; ``faults`` are wrong answers."""

    def __init__(self, port: int, x: float) -> None:
        super().__init__()
        self.answered = 0
        self.faults: list[Any] = []
        self._port = port
        self._x = x
        self._over = threading.Event()

    def run(self) -> None:
        with Client(self._port) as client:
            while not self._over.wait(0.005):
                answer = ask(client, self._x)
                if answer.status == 200 and answer.json["prediction"] == 2 * self._x:
                    self.answered += 1
                else:
                    self.faults.append(answer)

    def stop(self) -> None:
        self._over.set()
        self.join(30)
        assert not self.is_alive()


def test_an_input_that_has_crashed_its_host_is_not_tried_again(server: Serving) -> None:
    with Client(server.port) as client:
        answers = [ask(client, 1.5, "segfault") for _ in range(20)]
        assert {answer.status for answer in answers} == {500}
        assert ask(client, 3.0).json["prediction"] == 6.0
    assert len([event for event in server.events() if event["event"] == "host_died"]) == 1


def test_a_model_that_keeps_dying_is_left_alone_and_says_for_how_long(server: Serving) -> None:
    with Client(server.port) as client:
        statuses = [ask(client, float(i), "exit").status for i in range(5)]
        assert statuses[:4] == [500] * 4
        refused = ask(client, 3.0)
        assert (refused.status, refused.json["code"]) == (503, "model_down")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.post("/predict", {"features": [5.1, 3.5, 1.4, 0.2]}).status == 200


def test_a_host_that_leaks_is_replaced_before_its_limit_without_a_lost_request(server: Serving) -> None:
    with Client(server.port) as client:
        before = hosts(server)
        for i in range(700):
            answer = ask(client, float(i), "leak")
            assert answer.status == 200 and answer.json["prediction"] == 2.0 * i
        until(lambda: hosts(server) != before and len(hosts(server)) == 1, "another host answers alone")
    events = [event["event"] for event in server.events()]
    assert "host_worn" in events
    assert "host_died" not in events


@pytest.mark.parametrize(("kills", "life_s"), [(5, 0.0), pytest.param(50, 1.2, marks=pytest.mark.torture)])
def test_hosts_killed_at_random_lose_no_request(server: Serving, kills: int, life_s: float, report: Report) -> None:
    """Those that are killed again and again as soon as they run are left alone: the many live a little."""
    neighbours = [Neighbour(server.port, float(i)) for i in range(4)]
    longest_s = 0.0
    with Load(server.port) as load:
        for neighbour in neighbours:
            neighbour.start()
        for _ in range(kills):
            (pid,) = until(lambda: hosts(server), "a host")
            ready_s = time.monotonic()
            lives_s = random.uniform(life_s, 1.5 * life_s)
            until(lambda end_s=ready_s + lives_s: time.monotonic() >= end_s, "its life")  # type: ignore[misc]
            killed_s = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: hosts(server) and pid not in hosts(server), "another host")  # type: ignore[misc]
            longest_s = max(longest_s, time.monotonic() - killed_s)
        for neighbour in neighbours:
            neighbour.stop()
    faults = [fault for neighbour in neighbours for fault in neighbour.faults]
    report(
        f"{kills} random kill -9 of a host under load",
        bar="≤ 0.5 % failed, of other models none",
        answered=sum(neighbour.answered for neighbour in neighbours),
        failed=len(faults),
        of_other_models_answered=load.answered,
        of_other_models_failed=len(load.faults),
        longest_until_back_s=longest_s,
    )
    assert faults == []
    assert load.faults == []


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deed", ["hang", "print", "segfault", "exit", "eat", "garbage"])
def test_a_host_that_died_is_back_within_three_seconds_each_time(server: Serving, deed: str, report: Report) -> None:
    """As often as a model may die of its own making before it is left alone for a while."""
    away_s: list[float] = []
    with Client(server.port) as client, Load(server.port) as load:
        assert ask(client, 1.0).json["prediction"] == 2.0
        for i in range(MOST_DEATHS - 1):
            assert ask(client, i + 0.5, deed).status in (500, 504)
            died_s = time.monotonic()
            assert ask(client, float(i)).json["prediction"] == 2.0 * i
            away_s.append(time.monotonic() - died_s)
    report(
        f"A hosted model that does this again and again: {deed}",
        bar="back ≤ 3 s after each, of other models 0 failed",
        deaths=len(away_s),
        longest_until_it_answers_s=max(away_s),
        of_other_models_answered=load.answered,
        of_other_models_failed=len(load.faults),
    )
    assert max(away_s) <= 3.0
    assert load.faults == []


def test_answers_of_a_hosted_model_are_remembered_beyond_the_life_of_its_host(models: Path, tmp_path: Path) -> None:
    with (
        serving(models, tmp_path / "server", **LIMITS, cache__models="misbehaving") as server,
        Client(server.port) as client,
    ):
        assert [ask(client, 2.5).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
        assert ask(client, 1.5, "segfault").status == 500
        remembered = ask(client, 2.5)
        assert (remembered.json["prediction"], remembered.headers["x-cache"]) == (5.0, "hit")


def test_workers_share_the_hosts_and_their_parent_supervises_them(models: Path, tmp_path: Path) -> None:
    options = ["--default-model", "iris", "--workers", "2"]
    with serving(models, tmp_path / "server", options=options, **LIMITS) as server:
        until(lambda: len([e for e in server.events() if e["event"] == "model_ready"]) >= 4, "both workers are ready")
        neighbours = [Neighbour(server.port, float(i)) for i in range(8)]
        for neighbour in neighbours:
            neighbour.start()
        (pid,) = hosts(server)
        assert int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) == server.process.pid  # type: ignore[index]
        os.kill(pid, signal.SIGSEGV)
        until(lambda: hosts(server) and pid not in hosts(server), "another host")
        for neighbour in neighbours:
            neighbour.stop()
        assert [fault for neighbour in neighbours for fault in neighbour.faults] == []
        assert server.stop() == 0
        assert hosts(server) == []


def test_under_a_foreign_server_one_process_supervises_and_another_takes_over(models: Path, tmp_path: Path) -> None:
    port = free_port()
    arguments = [command()[0], "-m", "uvicorn", "foretell.asgi:app", "--workers", "2", "--port", str(port)]
    settings = {name.replace("__", "."): value for name, value in LIMITS.items()}
    env = environment(
        **setting_variables({**settings, "default_model": "iris", "execution.folder": tmp_path / "hosts"}),
        FORETELL_MODELS=str(models),
        PYTHONPATH=os.environ.get("PYTHONPATH", ""),
    )
    with started(arguments, env, tmp_path / "output.log", tmp_path) as process:
        server = Serving(process, port, tmp_path / "output.log", lane=False)
        until(lambda: len([e for e in server.events() if e["event"] == "model_ready"]) >= 4, "both workers are ready")
        (host,) = hosts(server)
        supervisor = int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{host}/status").read_text())[1])  # type: ignore[index]
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: hosts(server) and host not in hosts(server), "a host of the other's")
        until(lambda: answers(port), "an answer")
        assert not Path(f"/proc/{host}").exists() or "Z" in Path(f"/proc/{host}/stat").read_text().split()[2]


def answers(port: int) -> bool:
    try:
        with Client(port) as client:
            answer = ask(client, 4.0)
            return bool(answer.status == 200 and answer.json["prediction"] == 8.0)
    except (OSError, EOFError):
        return False
