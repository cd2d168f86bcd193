"""The pure and the small parts of hosting: when a host is started again, what it may see, what is asked for."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.execution import ExecutionOptions
from foretell.core.manifest import Artifact
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Matrix, Table, Tensors
from foretell.errors import LoadFailed
from foretell.execution.hosted import quarantine as quarantining
from foretell.execution.hosted.breaker import MOST_DEATHS, PAUSES_S, SPARED, WINDOW_S, Breaker, Cause
from foretell.execution.hosted.fleet import SOFT_LIMITS, Fleet
from foretell.execution.hosted.host import HostLimits, Version, host, interpreter, specify
from foretell.execution.hosted.hosts import Hosts, Lease
from foretell.execution.hosted.memory import LOOKS, Memory
from foretell.execution.hosted.quarantine import Quarantine
from foretell.execution.hosted.replica import _environment, signal_name
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.status import Status
from foretell.runtimes.base import LoadOptions
from tests.hosting import spec
from tests.serving import until


@pytest.mark.parametrize("cause", ["crashed", "time_limit", "memory_limit", "garbage"])
def test_a_death_of_its_own_making_is_forgiven_at_once_but_not_five_times_a_minute(cause: Cause) -> None:
    breaker = Breaker()
    assert [breaker.died(cause, 1.0, float(now)) for now in range(MOST_DEATHS - 1)] == [0.0] * (MOST_DEATHS - 1)
    assert breaker.died(cause, 1.0, 10.0) == WINDOW_S - 10.0
    assert breaker.died(cause, 1.0, 61.5) == 0.0, "the first two have passed out of the window"
    assert breaker.died(cause, 1.0, 61.75) == 2.0 + WINDOW_S - 61.75
    assert breaker.died(cause, 1.0, 1000.0) == 0.0


def test_what_cannot_load_is_tried_again_with_growing_pauses() -> None:
    breaker = Breaker()
    assert [breaker.died("failed_to_load", 0.1, 0.0) for _ in range(8)] == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    assert breaker.died("crashed", 5.0, 0.0) == 0.0
    assert breaker.died("failed_to_load", 0.1, 0.0) == PAUSES_S[0]


def test_whoever_is_killed_from_outside_comes_back_at_once_unless_it_never_lasts() -> None:
    breaker = Breaker()
    assert [breaker.died("killed", 5.0, float(i)) for i in range(50)] == [0.0] * 50
    assert [breaker.died("killed", 0.1, 0.0) for _ in range(SPARED + 1)] == [0.0] * SPARED + [PAUSES_S[0]]
    assert breaker.died("killed", 5.0, 0.0) == 0.0


def test_a_host_sees_no_secret() -> None:
    environ = {
        "PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "4", "AWS_SECRET_ACCESS_KEY": "s",
        "FORETELL_CACHE__SECRET": "s", "DATABASE_URL": "s", "PYTHONPATH": "/elsewhere", "LD_PRELOAD": "x",
    }  # fmt: skip
    assert _environment(environ, 2) == {
        "PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2",
    }  # fmt: skip


def test_signals_have_names() -> None:
    assert (signal_name(11), signal_name(50)) == ("signal SIGSEGV", "signal 50")


def version(**changes: Any) -> Version:
    values: dict[str, Any] = {
        "model": "m", "version": "v1", "runtime": "a:b", "folder": Path("/models/m/v1"), "artifact": "model.py",
        "artifacts": (Artifact("model.py", "0" * 64, 1),), "signature": None, "execution": ExecutionOptions(),
    }  # fmt: skip
    return Version(**{**values, **changes})


LIMITS = HostLimits(timeout_s=15.0, memory_mib=4096, max_rows=1024)


def test_the_author_goes_before_the_settings() -> None:
    plain = specify(version(), LoadOptions(2, device="cuda:0"), LIMITS)
    assert (plain.timeout_s, plain.memory_mib, plain.max_rows, plain.replicas) == (15.0, 4096, 1024, 1)
    assert (plain.python, plain.threads, plain.device) == (sys.executable, 2, "cuda:0")
    wanted = ExecutionOptions("hosted", max_batch_rows=8, timeout_s=0.5, replicas=3, memory_mib=64)
    said = specify(version(execution=wanted), LoadOptions(), LIMITS)
    assert (said.timeout_s, said.memory_mib, said.max_rows, said.replicas) == (0.5, 64, 8, 3)


def test_equal_specs_share_a_key_and_travel() -> None:
    one = specify(version(), LoadOptions(), LIMITS)
    assert HostSpec.from_document(one.to_document()) == one
    assert one.key == specify(version(), LoadOptions(), LIMITS).key
    assert one.key != specify(version(version="v2"), LoadOptions(), LIMITS).key


def test_an_interpreter_is_a_python_that_lies_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m" / "v1"
    venv = tmp_path / "venv" / "bin"
    for place in (folder / "bin", venv):
        place.mkdir(parents=True)
        (place / "python").symlink_to(sys.executable)
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    assert interpreter(None, folder) == sys.executable
    assert interpreter("../../../venv", folder) == str(venv / "python")
    assert interpreter(str(venv / "python"), folder) == str(venv / "python")
    for wanted, why in {
        ".": "own folder",
        "bin/python": "own folder",
        "../../../run.sh": "no Python",
        "../x": "no Python",
    }.items():
        with pytest.raises(LoadFailed, match=why):
            interpreter(wanted, folder)


class Asked:
    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.count = 1


NUMBER = Signature((Column("a"),), output=Output("regression"))
NUMBERS = Signature((Column("a"), Column("b")), output=Output("regression"))
MIXED = Signature((Column("a", ColumnType.STRING), Column("b")), output=Output("regression"))


def test_a_quarantined_input_is_known_again_however_it_came() -> None:
    kept = Quarantine(NUMBERS)
    assert not kept
    kept.add(Asked([[1.5, 2.0]]), "crashed")  # type: ignore[arg-type]  # as much of a call as matters
    assert kept.find(Asked(Matrix(np.array([[1.5, 2.0]])))) == "crashed"  # type: ignore[arg-type]
    assert kept.find(Asked([[1.5, 2.5]])) is None  # type: ignore[arg-type]
    mixed = Quarantine(MIXED)
    mixed.add(Asked(Table({"a": np.array(["x"], dtype=object), "b": np.array([1.0])})), "time_limit")  # type: ignore[arg-type]
    assert mixed.find(Asked([("x", 1.0)])) == "time_limit"  # type: ignore[arg-type]
    mixed.add(Asked(Tensors({"t": np.ones((1, 2))})), "crashed")  # type: ignore[arg-type]
    assert mixed.find(Asked(Tensors({"t": np.ones((1, 2))}))) == "crashed"  # type: ignore[arg-type]


def test_an_input_of_the_same_bytes_in_another_shape_is_another() -> None:
    kept = Quarantine(NUMBERS)
    kept.add(Asked(Tensors({"t": np.zeros((1, 4))})), "crashed")  # type: ignore[arg-type]
    for other in (np.zeros((1, 2, 2)), np.zeros((1, 4), np.int64)):
        assert kept.find(Asked(Tensors({"t": other}))) is None  # type: ignore[arg-type]


def test_a_quarantine_ends_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Quarantine(NUMBER)
    monkeypatch.setattr(quarantining, "MOST", 3)
    for i in range(5):
        kept.add(Asked([[float(i)]]), "crashed")  # type: ignore[arg-type]
    assert [kept.find(Asked([[float(i)]])) for i in range(5)] == [None, None, "crashed", "crashed", "crashed"]  # type: ignore[arg-type]
    monkeypatch.setattr(quarantining, "KEPT_S", -1.0)
    gone = Quarantine(NUMBER)
    gone.add(Asked([[1.0]]), "crashed")  # type: ignore[arg-type]
    assert gone.find(Asked([[1.0]])) is None  # type: ignore[arg-type]
    assert not gone


def test_a_status_tells_what_runs_and_cannot_be_pulled_away() -> None:
    page = Status.create()
    host, other = Status(page), Status(page)
    assert (other.running_since_ns(), other.flights()) == (0, [])
    host.begin(123, [(7, 1), (8, 2**40)])
    assert (other.running_since_ns(), other.flights()) == (123, [(7, 1), (8, 2**40)])
    host.begin(124, [(i, i) for i in range(10_000)])
    assert other.flights()[:2] == [(0, 0), (1, 1)]
    host.beat(99)
    assert (other.last_beat_ns(), len(other.flights())) == (99, 254), "the beat has a place of its own"
    host.end()
    assert other.flights() == []
    with pytest.raises(PermissionError):
        os.ftruncate(page, 0)
    os.close(page)
    host.close()
    other.close()


def test_a_fleet_that_could_not_be_started_says_why_and_is_left_alone() -> None:
    fleet = Fleet(spec())
    assert fleet.due(0.0) == 1
    reason = {"code": "load_failed", "detail": "no such file"}
    fleet.failed_to_start(reason, 0.0)
    assert fleet.due(100.0) == 0
    assert fleet.document()["reason"] == reason


def test_a_fleet_that_was_ready_once_is_tried_again() -> None:
    fleet = Fleet(spec(replicas=3), described={"signature": {}})
    fleet.failed_to_start({"code": "load_failed"}, 0.0)
    assert (fleet.due(0.1), fleet.due(PAUSES_S[0] + 0.1)) == (0, 3)
    assert fleet.document()["reason"] is None


@dataclass(eq=False)
class FakeReplica:
    """A host as its fleet sees it."""

    memory_bytes: int
    calls: int = 0
    growth_bytes: int = 2**40
    worn: bool = False
    leaving: bool = False
    doomed: Cause | None = None
    left: bool = False
    started_s: float = 0.0
    failure: Any = None


def replaced(fleet: Fleet, share: float, calls: int, growth: float = 1.0) -> bool:
    """Whether a new host of the fleet's is replaced once it has grown so far, within so many calls."""
    limit = fleet.spec.memory_mib * 2**20
    fleet.alive = [FakeReplica(int(share * limit), calls, int(growth * limit))]  # type: ignore[list-item]
    return bool(fleet.wear_out())


def test_a_host_that_leaks_is_replaced_before_its_limit_each_time() -> None:
    fleet = Fleet(spec())
    assert not replaced(fleet, 0.79, 10_000)
    assert [replaced(fleet, 0.81, 10_000) for _ in range(20)] == [True] * 20


@pytest.mark.parametrize("steady", [0.82, 0.91, 0.97])
def test_a_model_that_is_simply_large_is_not_replaced_over_and_over(steady: float) -> None:
    """Its weights come with the first call, so none of its successors is smaller."""
    fleet = Fleet(spec())
    outcomes = [replaced(fleet, steady, 3) for _ in range(20)]
    assert outcomes == sorted(outcomes, reverse=True)
    assert sum(outcomes) <= len(SOFT_LIMITS)
    assert not any(replaced(fleet, steady, 100_000) for _ in range(20))


def test_a_model_that_was_as_large_when_it_was_ready_is_not_replaced() -> None:
    assert not replaced(Fleet(spec()), 0.95, 10_000, growth=0.05)


def test_what_was_killed_at_its_limit_had_not_simply_been_large() -> None:
    fleet = Fleet(spec(), described={})
    while replaced(fleet, 0.99, 3):
        pass
    replica = fleet.alive[0]
    fleet.lost(replica, "memory_limit", 100.0)
    assert replaced(fleet, 0.81, 3)


def test_deaths_are_counted_and_orderly_leaves_are_not(tmp_path: Path) -> None:
    async def scenario() -> Lease:
        lease = Lease(Hosts(tmp_path), spec())
        told: dict[str, Any] = {"replicas": [], "described": {}, "reason": None, "down_s": 0}
        for number in range(100):
            died = {"number": number, "cause": "crashed", "flights": [], "orderly": number % 10 > 0}
            lease.hear({**told, "died": died})
        return lease

    lease = asyncio.run(scenario())
    assert lease.deaths == 10
    assert list(lease.ends) == list(range(36, 100))


def test_the_hosts_of_a_supervisor_that_has_gone_were_killed_with_it(tmp_path: Path) -> None:
    async def scenario() -> Lease:
        lease = Lease(Hosts(tmp_path), spec())
        lease.replicas = {3: "x", 4: "y"}
        lease.lose()
        return lease

    assert asyncio.run(scenario()).ends == {3: "killed", 4: "killed"}


FORKING = """
import subprocess, sys, threading, time

def fork():
    eat = "import time; x = b'x' * (200 << 20); print(len(x), flush=True); time.sleep(60)"
    subprocess.run([sys.executable, "-c", eat])

threading.Thread(target=fork, daemon=True).start()
time.sleep(60)
"""


def test_memory_counts_the_children_of_every_thread() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory = Memory(process.pid)
        taken = memory.look()
        os.killpg(process.pid, signal.SIGKILL)
    assert taken > 200 * 2**20
    until(lambda: memory.look() == 0)  # the kernel takes a moment to bury them


def test_children_that_come_later_are_seen_soon() -> None:
    memory = Memory(os.getpid())
    before = memory.look()
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        later = [memory.look() for _ in range(LOOKS)]
        well = memory.look_well()
        os.killpg(process.pid, signal.SIGKILL)
    assert min(later[-1], well) > before + 200 * 2**20


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_host_that_finds_no_room_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    async def scenario() -> None:
        hosts = Hosts(tmp_path / "s")
        try:
            lease = await hosts.want(spec())
            with pytest.raises(LoadFailed, match="no room left for temporary files") as caught:
                await lease.ready()
            assert "execution.folder" in str(caught.value.hint)
        finally:
            await hosts.close()

    monkeypatch.setattr(Path, "write_text", full)
    asyncio.run(scenario())


def test_where_no_folder_can_be_made_it_is_the_model_that_cannot_be_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        hosts = Hosts(tmp_path / "file" / "s")
        version = Version("m", "v1", "m:r", tmp_path, "model.py", (), None, ExecutionOptions())
        with pytest.raises(LoadFailed, match="cannot be used: Not a directory") as caught:
            await host(hosts, version, LoadOptions(), HostLimits(1.0, 100, 1))
        assert "Make room there" in str(caught.value.hint)
        await hosts.close()

    (tmp_path / "file").touch()
    asyncio.run(scenario())
