"""The supervisor of hosts, with workers and models that do what they must not: it stays, and leaks nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foretell.cli.serving import hosting
from foretell.errors import ArtifactError, OperatorError
from foretell.execution.hosted import replica as replicas
from foretell.execution.hosted.election import Election
from foretell.execution.hosted.frames import FrameReader, pack
from foretell.execution.hosted.hosts import Hosts
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.supervisor import SOCKET_NAME, Supervisor
from foretell.settings import Settings
from tests.hosting import spec
from tests.integration.test_hosts import DOUBLER, ask, children, load, until, version, with_hosts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s").mkdir(mode=0o700)
    return tmp_path / "s"


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    running = Supervisor(folder)
    running.start()
    yield running
    running.stop()


class Worker:
    """A web worker that the test plays."""

    def __init__(self, folder: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(5)
        self.connection.connect(str(folder / SOCKET_NAME))
        self._frames = FrameReader()

    def tell(self, *messages: dict[str, Any]) -> None:
        self.connection.sendall(b"".join(map(pack, messages)))

    def told(self) -> dict[str, Any]:
        while (frame := self._frames.next()) is None:
            data = self.connection.recv(65_536)
            assert data
            self._frames.feed(data)
        return frame[0]

    def want(self, wanted: HostSpec) -> dict[str, Any]:
        self.tell({"want": wanted.to_document(), "described": None})
        return self.told()


def unstartable(number: int = 0) -> HostSpec:
    return spec(version=f"v{number}", python="/nowhere/python")


def still_there(folder: Path) -> None:
    worker = Worker(folder)
    assert worker.want(unstartable(999))["key"] == unstartable(999).key
    worker.connection.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_that_goes_in_the_middle_of_its_wishes_takes_nobody_along(
    supervisor: Supervisor, folder: Path
) -> None:
    for _ in range(5):
        worker = Worker(folder)
        worker.tell(*({"want": unstartable(i).to_document(), "described": None} for i in range(20)))
        worker.connection.close()
    still_there(folder)


@pytest.mark.parametrize(
    "message",
    [
        {"want": {**spec().to_document(), "replicas": "many"}},
        {"want": {**spec().to_document(), "python": "a\0b"}},
        {"want": {**spec().to_document(), "timeout_s": []}},
        {"want": {"artifacts": 5}},
        {"want": [1]},
        {"release": []},
        {"condemn": {}, "number": 1},
        {"condemn": "x"},
    ],
    ids=str,
)
def test_what_no_worker_would_say_takes_nobody_along(
    supervisor: Supervisor, folder: Path, message: dict[str, Any]
) -> None:
    worker = Worker(folder)
    worker.tell(message)
    time.sleep(0.15)
    still_there(folder)
    worker.connection.close()


def test_hosts_that_cannot_be_started_leave_nothing_behind(folder: Path, supervisor: Supervisor) -> None:
    first = Worker(folder)
    first.want(unstartable(0))
    assert first.told()["reason"]
    before = descriptors()
    for number in range(1, 10):
        first.want(unstartable(number))
        assert first.told()["reason"]
    assert descriptors() <= before + 1
    assert sorted(path.name for path in folder.iterdir()) == [SOCKET_NAME]
    first.connection.close()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('a name that is no UTF-8: \\udc80')", "no UTF-8"),
        ("import os, sys; os.write(int(sys.argv[2]), b'[' * 500_000 + b'\\n')", "must not"),
        ("import os, sys; os.write(int(sys.argv[2]), b'{\"ready\": {}}\\n')", "must not"),
        ("import os, sys; os.write(int(sys.argv[2]), b'{\"ready\": {\"x\": ' + b'9' * 40 + b'}}\\n')", "must not"),
        ("import os, sys; os.write(int(sys.argv[2]), b'{\"failed\": 5}\\n')", "must not"),
        ("import os; os.closerange(3, 100)\n" + DOUBLER, "ended while it loaded|raised OSError|Bad file descriptor"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); 1 / 0", "ZeroDivisionError"),
    ],
    ids=["surrogate", "deep", "empty", "huge number", "no failure", "closed", "thread"],
)
def test_whatever_a_model_does_while_it_loads_its_neighbour_goes_on(tmp_path: Path, source: str, why: str) -> None:
    async def scenario(hosts: Hosts) -> None:
        neighbour = await load(hosts, version(tmp_path / "v1", DOUBLER))
        before = set(neighbour.lease.replicas)
        with pytest.raises(ArtifactError, match=why):
            await asyncio.wait_for(load(hosts, version(tmp_path / "v2", source)), 15)
        assert await ask(neighbour, 1.0) == [2.0]
        assert set(neighbour.lease.replicas) == before

    with_hosts(tmp_path, scenario)


def test_a_host_that_closed_its_line_keeps_nobody_busy(tmp_path: Path) -> None:
    source = "import os, time; os.closerange(3, 100); time.sleep(3)\n" + DOUBLER

    async def scenario(hosts: Hosts) -> None:
        loading = asyncio.create_task(load(hosts, version(tmp_path / "v1", source)))
        await asyncio.sleep(1.5)
        began = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - began < 0.4
        with pytest.raises(ArtifactError):
            await loading

    with_hosts(tmp_path, scenario)


def test_a_model_with_a_thread_that_never_ends_is_ended_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "OVERDUE_S", 0.2, raising=False)
    source = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()\n" + DOUBLER

    async def scenario(hosts: Hosts) -> None:
        before = children()
        model = await load(hosts, version(tmp_path / "v1", source, timeout_s=0.5))
        (pid,) = children() - before
        model.close()
        await until(lambda: pid not in children())

    with_hosts(tmp_path, scenario)


def test_a_version_wanted_twice_in_one_process_lives_as_long_as_either(tmp_path: Path) -> None:
    async def scenario(hosts: Hosts) -> None:
        what = version(tmp_path / "v1", DOUBLER)
        first, second = await load(hosts, what), await load(hosts, what)
        first.lease.release()
        first.lease.release()
        await asyncio.sleep(0.2)
        assert await ask(second, 1.0) == [2.0]
        assert second.lease.replicas

    with_hosts(tmp_path, scenario)


def test_what_could_not_load_is_tried_anew_for_whoever_wants_it_next(
    tmp_path: Path,
) -> None:
    """Also while a host of the attempt before is still on its way out."""
    flag = tmp_path / "flag"
    source = f"""
import pathlib, time
if not pathlib.Path({str(flag)!r}).exists():
    pathlib.Path({str(flag)!r}).touch()
    raise RuntimeError("not yet")
time.sleep(0.5)
{DOUBLER}"""

    async def scenario(hosts: Hosts) -> None:
        what = version(tmp_path / "v1", source, replicas=2)
        with pytest.raises(ArtifactError, match="not yet"):
            await load(hosts, what)
        assert await ask(await load(hosts, what), 1.0) == [2.0]

    with_hosts(tmp_path, scenario)


def test_a_folder_too_deep_for_a_socket_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    election = Election(deep)
    with pytest.raises(OperatorError, match="too long"):
        election.stand()
    before = descriptors()
    for _ in range(5):
        with pytest.raises(OperatorError):
            election.stand()
    assert descriptors() == before
    election.close()


def test_where_no_model_can_be_hosted_the_others_are_served(tmp_path: Path) -> None:
    with hosting.supervising(Settings.load({"models": tmp_path, "execution.folder": tmp_path / ("x" * 100)})):
        pass


def test_a_supervisor_that_failed_makes_place_for_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Election(folder), Election(folder)
    assert first.stand()
    assert not second.stand()
    monkeypatch.setattr(Supervisor, "_look", lambda self: 1 / 0)
    Worker(folder).connection.close()
    wait_until(second.stand)
    before = descriptors()
    first.close()
    assert descriptors() <= before
    second.close()


def test_successors_give_their_hosts_other_numbers(folder: Path) -> None:
    numbers = set()
    for _ in range(3):
        supervisor = Supervisor(folder)
        supervisor.start()
        numbers.add(supervisor._numbers)
        supervisor.stop()
    assert len(numbers) == 3
