"""Start and rescan: what becomes visible when, what keeps answering, and what is let go."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foretell.core.identity import Ref
from foretell.errors import ArtifactError, IntegrityError, OperatorError, PathMissing, SettingsError, UnknownModel
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.states import State
from foretell.sources.base import WHOLE, Found
from foretell.testing import FakeModel, FakeRuntime, MemorySource
from tests.versions import World, local, write_bare, write_version

WAIT_S = 20


STORY_S = 100.0
"""Longer than any story on a machine that does other things too; it ends one that hangs."""


def run(story: Coroutine[Any, Any, object]) -> Sequence[Mapping[str, Any]]:
    """Runs a story to its end; the events it logged."""
    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(story, STORY_S))
    return logs


def events(logs: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return [f"{log['model']} {log['version']}" for log in logs if log["event"] == name]


def answering(world: World, model: str = "iris") -> str:
    return world.catalog.resolve(model).ref.version


def test_start_loads_what_there_is_and_says_so() -> None:
    world = World()
    world.memory.put("iris", "v1")
    world.memory.put("iris", "v2", b"no number")
    world.memory.put("churn", "v1", ArtifactError("broken"))

    async def story() -> None:
        catalog = await world.reconciler.start()
        assert catalog is world.catalog is world.reconciler.catalog
        assert world.states == {"churn v1": "failed", "iris v1": "ready", "iris v2": "failed"}
        assert world.reason("iris", "v2").code == "load_failed"
        assert world.reason("churn", "v1").detail == "broken"
        await world.reconciler.close()

    logs = run(story())
    assert events(logs, "model_ready") == ["iris v1"]
    assert sorted(events(logs, "model_failed")) == ["churn v1", "iris v2"]
    done = next(log for log in logs if log["event"] == "rescan_done")
    assert {key: done[key] for key in ("found", "ready", "failed", "retired")} == {
        "found": 3, "ready": 1, "failed": 2, "retired": 0,
    }  # fmt: skip
    assert events(logs, "model_retired") == ["iris v1"]


def test_an_empty_source_starts_and_says_so() -> None:
    async def story() -> None:
        assert not (await World().reconciler.start()).models

    assert [log["event"] for log in run(story())] == ["rescan_done", "no_models"]


def test_a_path_that_is_missing_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(PathMissing):
        run(World(local(tmp_path / "nowhere")).reconciler.start())


def test_a_default_model_that_is_not_there_does_not_start_and_loads_nothing() -> None:
    world = World(default_model="irsi")
    world.memory.put("iris", "v1")
    with pytest.raises(SettingsError, match="Did you mean 'iris'"):
        run(world.reconciler.start())
    assert not world.runtime.loaded


def test_a_broken_default_model_starts() -> None:
    world = World(default_model="iris")
    world.memory.put("iris", "v1", b"broken")
    run(world.reconciler.start())
    assert world.states == {"iris v1": "failed"}


def test_a_new_version_answers_once_it_is_ready_and_the_one_before_until_then() -> None:
    world = World()
    world.memory.put("iris", "v1", b"1")
    seen: list[tuple[str, str]] = []

    async def story() -> None:
        await world.reconciler.start()
        world.runtime.on_load = lambda _: seen.append((answering(world), world.states["iris v2"]))
        world.memory.put("iris", "v2", b"2")
        await world.reconciler.rescan()
        assert seen == [("v1", "loading")]
        assert answering(world) == "v2"
        assert world.catalog.resolve("iris", "v1").state is State.READY
        await world.reconciler.close()

    run(story())


@pytest.mark.parametrize("content", [b"no number", b"nan", IntegrityError("half-copied")], ids=["load", "NaN", "fault"])
def test_a_version_that_fails_replaces_nothing(content: bytes | ArtifactError) -> None:
    world = World()
    world.memory.put("iris", "v1", b"1")

    async def story() -> None:
        await world.reconciler.start()
        before = world.catalog.resolve("iris")
        world.memory.put("iris", "v2", content)
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready", "iris v2": "failed"}
        assert world.catalog.resolve("iris") is before
        await world.reconciler.close()

    run(story())


def test_a_version_that_does_not_verify_is_never_loaded() -> None:
    world = World()
    world.memory.corrupt.add(world.memory.put("iris", "v1"))
    run(world.reconciler.start())
    assert world.states == {"iris v1": "failed"}
    assert not world.runtime.loaded


def test_what_failed_is_tried_again_at_each_rescan_and_only_then() -> None:
    world = World()
    attempts: list[Path] = []
    world.runtime.on_load = attempts.append
    world.memory.put("iris", "v1", b"no number")

    async def story() -> None:
        await world.reconciler.start()
        await world.reconciler.rescan()
        assert len(attempts) == 2
        world.memory.put("iris", "v1", b"1")
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        entry = world.catalog.find(Ref("iris", "v1"))
        assert entry is not None
        assert entry.reason is None
        await world.reconciler.rescan()
        assert len(attempts) == 3
        await world.reconciler.close()

    run(story())


def test_a_version_whose_fault_was_mended_is_loaded() -> None:
    world = World()
    world.memory.put("iris", "v1", IntegrityError("half-copied"))

    async def story() -> None:
        await world.reconciler.start()
        await world.reconciler.rescan()
        assert world.reason("iris", "v1").detail == "half-copied"
        world.memory.put("iris", "v1", b"1")
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        await world.reconciler.close()

    run(story())


def test_a_version_that_was_removed_retires_after_its_leases() -> None:
    world = World()
    world.memory.put("iris", "v1", b"1")
    world.memory.put("iris", "v2", b"2")

    async def story() -> None:
        await world.reconciler.start()
        old = world.catalog.resolve("iris")
        old.acquire()
        world.memory.remove("iris", "v2")
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        assert old.state is State.RETIRING
        assert isinstance(old.model, FakeModel)
        assert old.model.closed == 0
        old.release()
        await old.closed()
        assert old.model.closed == 1
        await world.reconciler.close()

    logs = run(story())
    assert events(logs, "model_retired")[0] == "iris v2"


def test_a_model_that_was_removed_is_unknown_afterwards() -> None:
    world = World()
    world.memory.put("iris", "v1")
    world.memory.put("churn", "v1")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.remove("iris", "v1")
        await world.reconciler.rescan()
        with pytest.raises(UnknownModel):
            world.catalog.resolve("iris")
        await world.reconciler.close()

    run(story())


def test_the_last_ready_version_stays_while_what_shall_replace_it_is_broken() -> None:
    world = World()
    world.memory.put("iris", "v1", b"1")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.remove("iris", "v1")
        world.memory.put("iris", "v2", b"no number")
        await world.reconciler.rescan()
        assert answering(world) == "v1"
        assert world.reason("iris", "v1").code == "version_gone"
        world.memory.put("iris", "v2", b"2")
        await world.reconciler.rescan()
        assert world.states == {"iris v2": "ready"}
        await world.reconciler.close()

    assert events(run(story()), "version_gone") == ["iris v1"]


def test_a_failed_version_that_was_removed_is_forgotten() -> None:
    world = World()
    world.memory.put("iris", "v1")
    world.memory.put("iris", "v2", b"no number")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.remove("iris", "v2")
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        await world.reconciler.close()

    run(story())


def test_a_changed_version_is_reported_and_the_loaded_one_goes_on(tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "iris" / "v1", b"1")
    runtime = FakeRuntime()
    world = World(local(tmp_path, runtime), runtime)

    async def story() -> None:
        await world.reconciler.start()
        before = world.catalog.resolve("iris")
        (folder / "model.fake").write_bytes(b"2")
        await world.reconciler.rescan()
        assert world.catalog.resolve("iris") is before
        assert world.states == {"iris v1": "ready"}
        assert world.reason("iris", "v1").code == "version_changed"
        assert "other content now" in world.reason("iris", "v1").detail
        (folder / "model.fake").write_bytes(b"1")
        await world.reconciler.rescan()
        entry = world.catalog.find(Ref("iris", "v1"))
        assert entry is not None
        assert entry.reason is None
        await world.reconciler.close()

    logs = run(story())
    assert events(logs, "version_changed") == ["iris v1"]
    assert len(runtime.loaded) == 1


def test_a_version_damaged_after_it_was_loaded_goes_on(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "iris" / "v1", b"1")
    runtime = FakeRuntime()
    world = World(local(tmp_path, runtime), runtime)

    async def story() -> None:
        await world.reconciler.start()
        for name, content in (("model.fake", b"22"), ("manifest.toml", b"no")):
            (folder / name).write_bytes(content)
            await world.reconciler.rescan()
            assert world.states == {"iris v1": "ready"}
            assert "its folder was damaged" in world.reason("iris", "v1").detail
        await world.reconciler.close()

    run(story())


def test_a_version_that_was_only_touched_is_the_same(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "iris" / "v1", b"1")
    runtime = FakeRuntime()
    world = World(local(tmp_path, runtime), runtime)

    async def story() -> None:
        await world.reconciler.start()
        for name in ("model.fake", "manifest.toml"):
            shutil.copy(folder / name, tmp_path / "copy")
            shutil.move(tmp_path / "copy", folder / name)
        generation = world.catalog.generation
        await world.reconciler.rescan()
        assert world.catalog.generation == generation
        assert world.catalog.resolve("iris").stamp == world.source.scan()[0].stamp
        await world.reconciler.close()

    assert not events(run(story()), "version_changed")


class Unreadable(MemorySource):
    """Cannot be scanned while ``broken`` is set."""

    broken: Exception | None = None

    def scan(self) -> Sequence[Found]:
        if self.broken is not None:
            raise self.broken
        return super().scan()


@pytest.mark.parametrize("error", [OperatorError("unmounted"), RuntimeError("a fault of ours")], ids=repr)
def test_a_source_that_cannot_be_read_changes_nothing(error: Exception) -> None:
    source = Unreadable()
    world = World(source)
    source.put("iris", "v1")

    async def story() -> None:
        await world.reconciler.start()
        source.broken = error
        await world.reconciler.rescan()
        assert answering(world) == "v1"
        source.broken = None
        source.put("iris", "v2")
        await world.reconciler.rescan()
        assert answering(world) == "v2"
        await world.reconciler.close()

    assert [log["event"] for log in run(story())].count("rescan_failed") == 1


def test_a_model_folder_that_cannot_be_read_takes_nothing_away() -> None:
    world = World()
    world.memory.put("iris", "v1")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.remove("iris", "v1")
        world.memory.put("iris", WHOLE, IntegrityError("the folder cannot be read"))
        await world.reconciler.rescan()
        assert answering(world) == "v1"
        world.memory.remove("iris", WHOLE)
        world.memory.put("iris", "v1")
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        await world.reconciler.close()

    run(story())


def test_a_fault_of_our_own_in_one_load_takes_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    load = world.loader.load

    async def failing(found: Found, on_loaded: Any) -> Any:
        if found.ref.model == "bad":
            raise KeyError("ours")
        return await load(found, on_loaded)

    monkeypatch.setattr(world.loader, "load", failing)
    world.memory.put("bad", "v1")
    world.memory.put("iris", "v1")

    async def story() -> None:
        await world.reconciler.start()
        assert world.states == {"bad v1": "failed", "iris v1": "ready"}
        assert world.reason("bad", "v1").code == "internal_error"
        await world.reconciler.rescan()
        assert world.states == {"bad v1": "failed", "iris v1": "ready"}
        await world.reconciler.close()

    run(story())


def test_rescans_asked_for_during_one_are_one_more_and_all_see_what_came_before() -> None:
    world = World()
    entered, going = threading.Event(), threading.Event()

    def gate(_: Path) -> None:
        entered.set()
        assert going.wait(WAIT_S)

    async def story() -> None:
        await world.reconciler.start()
        world.runtime.on_load = gate
        world.memory.put("iris", "v1")
        first = asyncio.create_task(world.reconciler.rescan())
        assert await asyncio.to_thread(entered.wait, WAIT_S)
        world.memory.put("iris", "v2")  # after the scan of the first
        others = [world.reconciler.request_rescan() for _ in range(5)]
        assert len(set(others)) == 1
        waiting = asyncio.create_task(world.reconciler.rescan())
        going.set()
        await first
        await waiting
        assert world.memory.scans == 3
        assert world.states == {"iris v1": "ready", "iris v2": "ready"}
        await world.reconciler.rescan()
        assert world.memory.scans == 4
        await world.reconciler.close()

    run(story())


def test_who_stops_waiting_for_a_rescan_does_not_stop_it() -> None:
    world = World()
    entered, going = threading.Event(), threading.Event()

    def gate(_: Path) -> None:
        entered.set()
        assert going.wait(WAIT_S)

    async def story() -> None:
        await world.reconciler.start()
        world.runtime.on_load = gate
        world.memory.put("iris", "v1")
        waiting = asyncio.create_task(world.reconciler.rescan())
        assert await asyncio.to_thread(entered.wait, WAIT_S)
        waiting.cancel()
        going.set()
        await asyncio.gather(waiting, return_exceptions=True)
        await world.reconciler.rescan()
        assert world.states == {"iris v1": "ready"}
        await world.reconciler.close()

    run(story())


def test_closing_waits_for_the_last_lease_and_closes_everything() -> None:
    world = World()
    for version in ("v1", "v2", "v3"):
        world.memory.put("iris", version)

    async def story() -> None:
        await world.reconciler.start()
        leased, earlier = world.catalog.resolve("iris", "v1"), world.catalog.resolve("iris", "v2")
        leased.acquire()
        earlier.acquire()
        world.memory.remove("iris", "v2")
        await world.reconciler.rescan()
        closing = asyncio.create_task(world.reconciler.close())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
        leased.release()
        earlier.release()
        await closing
        assert [model.closed for model in world.runtime.loaded] == [1, 1, 1]
        assert world.catalog.models == {}

    run(story())


def test_closing_ends_a_rescan_that_is_running_and_one_that_waits() -> None:
    world = World()
    entered, going = threading.Event(), threading.Event()

    def gate(_: Path) -> None:
        entered.set()
        assert going.wait(WAIT_S)

    async def story() -> None:
        await world.reconciler.start()
        world.runtime.on_load = gate
        world.memory.put("iris", "v1")
        running, queued = world.reconciler.request_rescan(), world.reconciler.request_rescan()
        assert running is not queued
        assert await asyncio.to_thread(entered.wait, WAIT_S)
        await world.reconciler.close()
        going.set()
        assert running.cancelled()
        assert queued.cancelled()
        assert world.memory.scans == 2

    run(story())


def test_two_hundred_reloads_under_requests_never_find_a_version_that_was_not_ready() -> None:
    world = World()
    world.memory.put("iris", "v0", b"0")
    answers: list[int] = []

    async def asking(stop: asyncio.Event) -> None:
        while not stop.is_set():
            servable = world.catalog.resolve("iris")
            servable.acquire()
            await asyncio.sleep(0)
            assert isinstance(servable.model, FakeModel)
            assert servable.model.closed == 0
            assert servable.state in (State.READY, State.RETIRING)
            answers.append(int(servable.ref.version[1:]))
            servable.release()

    async def story() -> None:
        await world.reconciler.start()
        stop = asyncio.Event()
        askers = [asyncio.create_task(asking(stop)) for _ in range(4)]
        for number in range(1, 201):
            world.memory.put("iris", f"v{number}", str(number).encode())
            world.memory.remove("iris", f"v{number - 1}")
            await world.reconciler.rescan()
        stop.set()
        await asyncio.gather(*askers)
        assert answers == sorted(answers)
        assert world.states == {"iris v200": "ready"}
        await world.reconciler.close()
        assert [model.closed for model in world.runtime.loaded] == [1] * 201

    run(story())


def test_listeners_hear_of_each_version_that_begins_or_ends_to_answer() -> None:
    world = World()
    heard: list[list[str]] = []

    def listen(catalog: Catalog) -> None:
        heard.append([servable.ref.version for servable in catalog.servables])

    world.holder.subscribe(listen)
    world.memory.put("iris", "v1")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.put("iris", "v2")
        world.memory.remove("iris", "v1")
        await world.reconciler.rescan()
        await world.reconciler.close()

    run(story())
    changes = [now for before, now in itertools.pairwise([["nothing yet"], *heard]) if now != before]
    assert changes == [[], ["v1"], ["v1", "v2"], ["v2"], []]


def test_asking_at_the_moment_a_rescan_ends_never_makes_two_run_at_once() -> None:
    world = World()
    world.memory.put("iris", "v1")

    async def story() -> None:
        await world.reconciler.start()
        world.memory.put("iris", "v2")
        running = world.reconciler.request_rescan()
        asked: list[asyncio.Task[None]] = []
        # called before whatever waits for its end hears of it
        running.add_done_callback(lambda _: asked.append(world.reconciler.request_rescan()))
        queued = world.reconciler.request_rescan()
        await queued
        assert asked == [queued]
        await world.reconciler.close()

    logs = run(story())
    assert not [log for log in logs if log["event"] == "rescan_failed"]
