"""Hosts as real processes, without a server around them: loading, a Python of their own, leases, the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.execution import ExecutionOptions
from foretell.core.values import Table
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary
from foretell.execution.hosted import replica
from foretell.execution.hosted.executor import HostedExecutor
from foretell.execution.hosted.host import HostLimits, Version, host
from foretell.execution.hosted.hosts import Hosts
from foretell.execution.hosted.link import RemoteError
from foretell.execution.hosted.model import HostedModel
from foretell.runtimes.base import LoadOptions
from foretell.sources.integrity import measured
from tests.calls import Recorded

LIMITS = HostLimits(timeout_s=20.0, memory_mib=1024, max_rows=64)
DOUBLER = """
class Doubler:
    def predict(self, x: float) -> float:
        if x[0] == 13:
            raise ValueError("no thirteen")
        return x * 2
"""
NOSY = """
import importlib.util
import sys

class Nosy:
    def load(self, folder):
        others = [name for name in ("pydantic", "fastapi", "sklearn") if importlib.util.find_spec(name)]
        if others or sys.prefix == sys.base_prefix or sys.argv[0].startswith(str(folder)):
            raise RuntimeError(f"it sees {others} in {sys.prefix}")

    def predict(self, x: float) -> float:
        return x + 1
"""


def version(folder: Path, source: str, **execution: Any) -> Version:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(source)
    with measured(folder, "model.py") as files:
        artifacts = files.artifacts
    runtime = "foretell.runtimes.python:runtime"
    return Version("m", "v1", runtime, folder, "model.py", artifacts, None, ExecutionOptions(**execution))


def with_hosts(folder: Path, scenario: Callable[[Hosts], Awaitable[None]]) -> None:
    async def run() -> None:
        hosts = Hosts(folder / "sockets")
        try:
            await asyncio.wait_for(scenario(hosts), 60)
        finally:
            await hosts.close()

    asyncio.run(run())


async def load(hosts: Hosts, what: Version) -> HostedModel:
    return await host(hosts, what, LoadOptions(), LIMITS)


async def ask(model: HostedModel, *values: float) -> list[float]:
    outputs = await asyncio.to_thread(model.predict, Table({"x": np.array(values)}))
    assert outputs.values is not None
    listed: list[float] = outputs.values.tolist()
    return listed


def environment(folder: Path, *packages: str) -> Path:
    """A virtual environment that holds these packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    here = Path(np.__file__).parent.parent
    for package in packages:
        for entry in (package, f"{package}.libs"):
            if (here / entry).exists():
                (site / entry).symlink_to(here / entry)
    return folder


def test_a_hosted_model_answers_and_says_what_it_is(tmp_path: Path) -> None:
    async def scenario(hosts: Hosts) -> None:
        model = await load(hosts, version(tmp_path / "v1", DOUBLER))
        assert [column.name for column in model.signature.columns] == ["x"]
        assert await ask(model, 1.0, 2.5) == [2.0, 5.0]
        with pytest.raises(RemoteError, match="ValueError: no thirteen"):
            await ask(model, 13.0)

    with_hosts(tmp_path, scenario)


def test_a_model_may_have_a_python_of_its_own_with_numpy_and_msgpack_alone(tmp_path: Path) -> None:
    environment(tmp_path / "venv", "numpy", "msgpack")

    async def scenario(hosts: Hosts) -> None:
        model = await load(hosts, version(tmp_path / "models" / "v1", NOSY, python="../../venv"))
        assert await ask(model, 1.0) == [2.0]

    with_hosts(tmp_path, scenario)


@pytest.mark.parametrize(("packages", "lacking"), [((), "msgpack"), (("msgpack",), "numpy")])
def test_an_environment_that_lacks_what_a_host_needs_is_named(
    tmp_path: Path, packages: tuple[str, ...], lacking: str
) -> None:
    environment(tmp_path / "venv", *packages)

    async def scenario(hosts: Hosts) -> None:
        with pytest.raises(MissingLibrary, match=f"lacks {lacking}"):
            await load(hosts, version(tmp_path / "models" / "v1", NOSY, python="../../venv"))

    with_hosts(tmp_path, scenario)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = 1", "class"),
        ("raise RuntimeError('not today')", "not today"),
        ("import os; os._exit(3)", "ended while it loaded"),
        ("import ctypes; ctypes.string_at(0)", "ended while it loaded"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("class A:\n  def predict(self, x): return x", "annotat"),
    ],
)
def test_a_model_that_cannot_load_says_why(tmp_path: Path, source: str, why: str) -> None:
    async def scenario(hosts: Hosts) -> None:
        with pytest.raises(ArtifactError, match=why):
            await load(hosts, version(tmp_path / "v1", source))

    with_hosts(tmp_path, scenario)


def test_a_file_that_was_changed_since_it_was_verified_is_not_loaded(tmp_path: Path) -> None:
    async def scenario(hosts: Hosts) -> None:
        what = version(tmp_path / "v1", DOUBLER)
        (tmp_path / "v1" / "model.py").write_text(DOUBLER.replace("* 2", "* 3"))
        with pytest.raises(ArtifactError, match="SHA-256"):
            await load(hosts, what)

    with_hosts(tmp_path, scenario)


def test_an_interpreter_that_cannot_run_is_told(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_bytes(b"\x7fELF no program")
    fake.chmod(0o755)

    async def scenario(hosts: Hosts) -> None:
        with pytest.raises(LoadFailed, match="cannot be started"):
            await load(hosts, version(tmp_path / "v1", DOUBLER, python=str(fake)))

    with_hosts(tmp_path, scenario)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # another process is waited for, which sets no event here
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def children() -> set[int]:
    """Processes that this one has started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def test_a_host_that_does_nothing_and_says_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "SILENT_LOOKS", 50)

    async def scenario(hosts: Hosts) -> None:
        before = children()
        model = await load(hosts, version(tmp_path / "v1", DOUBLER))
        (pid,) = children() - before
        stopped = set(model.lease.replicas)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: bool(set(model.lease.replicas) - stopped))
        assert pid not in children()
        assert await ask(model, 3.0) == [6.0]

    with_hosts(tmp_path, scenario)


def test_a_version_that_nobody_wants_any_more_gives_its_memory_back(tmp_path: Path) -> None:
    async def scenario(hosts: Hosts) -> None:
        before = children()
        model = await load(hosts, version(tmp_path / "v1", DOUBLER))
        (pid,) = children() - before
        model.close()
        await until(lambda: pid not in children())
        again = await load(hosts, version(tmp_path / "v1", DOUBLER))
        assert await ask(again, 2.0) == [4.0]

    with_hosts(tmp_path, scenario)


def test_at_the_end_of_its_supervisor_no_host_is_left(tmp_path: Path) -> None:
    pids: set[int] = set()

    async def scenario(hosts: Hosts) -> None:
        before = children()
        model = await load(hosts, version(tmp_path / "v1", DOUBLER, replicas=3))
        await until(lambda: len(model.lease.replicas) == 3)
        pids.update(children() - before)

    with_hosts(tmp_path, scenario)
    assert len(pids) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert sorted(path.name for path in (tmp_path / "sockets").iterdir()) == ["supervisor.lock"]


def test_what_waits_is_shared_out_among_the_replicas(tmp_path: Path) -> None:
    slow = (
        "import os, time\nclass Slow:\n  def predict(self, x: float) -> float:\n"
        "    time.sleep(0.2)\n    return x * 0 + os.getpid()"
    )

    async def scenario(hosts: Hosts) -> None:
        model = await load(hosts, version(tmp_path / "v1", slow, replicas=2))
        await until(lambda: len(model.lease.replicas) == 2)
        executor = HostedExecutor(model.signature, model.lease, model.client, max_rows=64, max_waiting_rows=1000)
        await until(lambda: len(executor._links) == 2)
        calls = [Recorded([[float(i)]]) for i in range(10)]
        for call in calls:
            executor.submit(call)
        answers = [await call.answer() for call in calls]
        assert len({str(answer) for answer in answers[:5]}) == len({str(answer) for answer in answers[5:]}) == 1
        assert len({str(answer) for answer in answers}) == 2
        await executor.close()

    with_hosts(tmp_path, scenario)


def test_two_processes_share_one_host_and_the_second_is_told_at_once(tmp_path: Path) -> None:
    async def scenario(hosts: Hosts) -> None:
        before = children()
        first = await load(hosts, version(tmp_path / "v1", DOUBLER))
        other = Hosts(tmp_path / "sockets")
        try:
            second = await load(other, version(tmp_path / "v1", DOUBLER))
            assert second.lease.replicas == first.lease.replicas
            assert len(children() - before) == 1
            assert await ask(second, 4.0) == [8.0]
        finally:
            await other.close()
        assert await ask(first, 5.0) == [10.0]

    with_hosts(tmp_path, scenario)


SLOW = """
import pathlib
import time

pathlib.Path({folder!r}, "loading").touch()
time.sleep({load_s})


class Slow:
    def predict(self, x: float) -> float:
        pathlib.Path({folder!r}, "asked").touch()
        time.sleep({call_s})
        return x * 2
"""


@pytest.mark.parametrize(("moment", "load_s", "call_s"), [("loading", 0.5, 0.0), ("asked", 0.0, 0.5)])
def test_a_version_that_is_loading_when_its_supervisor_ends_is_loaded_by_the_next(
    tmp_path: Path, moment: str, load_s: float, call_s: float
) -> None:
    source = SLOW.format(folder=str(tmp_path), load_s=load_s, call_s=call_s)

    async def scenario(hosts: Hosts) -> None:
        first = Hosts(tmp_path / "sockets")
        await load(first, version(tmp_path / "v0", DOUBLER))

        async def tried() -> list[float]:
            return await ask(await load(hosts, version(tmp_path / "v1", source)), 1.0)

        trying = asyncio.create_task(tried())
        await until(lambda: (tmp_path / moment).exists() or trying.done())
        await first.close()
        assert await trying == [2.0]

    with_hosts(tmp_path, scenario)


def test_a_call_that_ends_its_host_is_not_tried_again_while_loading(tmp_path: Path) -> None:
    source = SLOW.format(folder=str(tmp_path), load_s=0, call_s=0).replace("time.sleep(0)\n        return", "1; return")
    source = source.replace('"asked").touch()', '"asked").open("a").write("x") and __import__("os")._exit(3)')

    async def scenario(hosts: Hosts) -> None:
        model = await load(hosts, version(tmp_path / "v1", source))
        with pytest.raises(ConnectionError, match="died over this call"):
            await ask(model, 1.0)

    with_hosts(tmp_path, scenario)
    assert (tmp_path / "asked").read_text() == "x"
