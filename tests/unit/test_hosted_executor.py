"""A web worker's side of hosted execution, against a host that the test plays: lost connections, odd frames."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Matrix, Outputs
from foretell.errors import ModelFailed, Unavailable
from foretell.execution.hosted import executor as executing
from foretell.execution.hosted import frames as framing
from foretell.execution.hosted.executor import HostedExecutor
from foretell.execution.hosted.frames import FrameReader, describe_outputs, pack, read_inputs
from foretell.execution.hosted.hosts import Hosts, Lease
from tests.calls import Recorded
from tests.hosting import CLIENT, spec

NUMBER = Signature((Column("x"),), output=Output("regression"))
TEXT = Signature((Column("x", ColumnType.STRING),), output=Output("regression"))

Reply = Callable[[dict[str, Any], Any], bytes | None]


def doubled(header: dict[str, Any], inputs: Any) -> bytes:
    values = inputs.values[:, 0] * 2 if isinstance(inputs, Matrix) else np.ones(inputs.count)
    described, arrays = describe_outputs(Outputs(NUMBER.output, values=values))
    return pack({"id": header["id"], "rows": inputs.count, "started": 1.0, "duration": 0.001, **described}, arrays)


class PlayedHost:
    """A host whose every reply the test chooses; None: it hangs up instead. ``silent`` ones never reply."""

    def __init__(self, folder: Path, number: int = 1, reply: Reply = doubled) -> None:
        self.path = str(folder / f"{number}.sock")
        self.number = number
        self.reply = reply
        self.silent = self.dead = False
        self.frames: list[dict[str, Any]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.dead:
            writer.close()
        frames = FrameReader()
        while data := await reader.read(65_536):
            frames.feed(data)
            while (frame := frames.next()) is not None:
                header, payload = frame
                if header["op"] == "hello":
                    continue
                self.frames.append(header)
                if self.silent:
                    continue
                answer = self.reply(header, read_inputs(header, payload))
                if answer is None:
                    writer.close()
                    return
                writer.write(answer)
        writer.close()

    async def die(self) -> None:
        assert self._server is not None
        self.dead = True
        for listener in self._server.sockets:  # asyncio leaks a connection that is half accepted when its server closes
            asyncio.get_running_loop().remove_reader(listener.fileno())
        await asyncio.sleep(0.005)
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.01)


def told(lease: Lease, *hosts: PlayedHost, died: Any = None, down_s: int = 0) -> None:
    """The supervisor says this."""
    message: dict[str, Any] = {
        "replicas": [[host.number, host.path] for host in hosts],
        "described": {},
        "reason": None,
    }
    lease.hear({**message, "down_s": down_s, **({} if died is None else {"died": {"orderly": False, **died}})})


def with_executor(
    folder: Path,
    scenario: Callable[[HostedExecutor, Lease, PlayedHost], Awaitable[None]],
    signature: Signature = NUMBER,
    **options: Any,
) -> None:
    async def run() -> None:
        host = PlayedHost(folder)
        await host.start()
        lease = Lease(Hosts(folder), spec())
        told(lease, host)
        executor = HostedExecutor(signature, lease, CLIENT, **{"max_rows": 64, "max_waiting_rows": 4096, **options})
        try:
            await asyncio.wait_for(scenario(executor, lease, host), 20)
            assert executor.waiting_rows == 0
            await asyncio.wait_for(executor.close(), 5)
        finally:
            await host.die()

    asyncio.run(run())


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_a_connection_that_is_lost_while_its_host_lives_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "LIMBO_S", 0.2)
    hung_up: list[int] = []

    def once(header: dict[str, Any], inputs: Any) -> bytes | None:
        if hung_up:
            return doubled(header, inputs)
        hung_up.append(header["id"])
        return None

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.reply = once
        call = Recorded([[1.0]])
        executor.submit(call)
        assert await asyncio.wait_for(call.answer(), 5) == [2.0]

    with_executor(tmp_path, scenario)


def test_a_host_that_cannot_be_reached_at_first_is_tried_again(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        await until(lambda: executor._links)
        late = PlayedHost(tmp_path, 2)
        told(lease, late)
        await asyncio.sleep(0.05)
        await late.start()
        call = Recorded([[1.0]])
        executor.submit(call)
        assert await asyncio.wait_for(call.answer(), 5) == [2.0]
        await late.die()

    with_executor(tmp_path, scenario)


def test_a_host_that_is_named_again_while_it_was_to_be_left_is_kept(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        first = Recorded([[1.0]])
        executor.submit(first)
        await until(lambda: host.frames)
        told(lease)
        told(lease, host)
        host.silent = False
        host._writers[0].write(doubled(host.frames[0], Matrix(np.array([[1.0]]))))
        assert await first.answer() == [2.0]
        second = Recorded([[2.0]])
        executor.submit(second)
        assert await asyncio.wait_for(second.answer(), 5) == [4.0]

    with_executor(tmp_path, scenario)


def test_what_cannot_be_sent_fails_alone_and_blocks_nobody(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        bad, good = Recorded([["\ud800"]]), Recorded([["fine"]])
        executor.submit(good)
        executor.submit(bad)
        assert await asyncio.wait_for(good.answer(), 5) == [1.0]
        await asyncio.wait_for(bad.answer(), 5)
        after = Recorded([["after"]])
        executor.submit(after)
        assert await asyncio.wait_for(after.answer(), 5) == [1.0]

    with_executor(tmp_path, scenario, TEXT)


def test_a_batch_larger_than_a_frame_may_be_goes_in_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_PAYLOAD_BYTES", 64)

    def refusing(header: dict[str, Any], inputs: Any) -> bytes | None:
        return doubled(header, inputs) if inputs.count <= 8 else None

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.reply = refusing
        calls = [Recorded([[float(i)]] * 2) for i in range(8)]
        huge = Recorded([[1.0]] * 20)
        for call in (*calls, huge):
            executor.submit(call)
        for i, call in enumerate(calls):
            assert await asyncio.wait_for(call.answer(), 5) == [2.0 * i] * 2
        assert isinstance(await asyncio.wait_for(huge.answer(), 5), Exception)

    with_executor(tmp_path, scenario)


def test_a_pause_is_over_when_it_has_passed_whoever_says_so(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        told(lease, down_s=1)
        with pytest.raises(Unavailable) as refused:
            executor.submit(Recorded([[1.0]]))
        assert refused.value.instance_code == "model_down"
        await asyncio.sleep(1.1)
        call = Recorded([[1.0]])
        executor.submit(call)
        told(lease, host)
        assert await asyncio.wait_for(call.answer(), 5) == [2.0]

    with_executor(tmp_path, scenario)


def test_what_was_out_when_the_last_death_opened_the_breaker_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        calls = [Recorded([[1.0]]), Recorded([[2.0]])]
        for call in calls:
            executor.submit(call)
        await until(lambda: host.frames)
        flights = [[CLIENT, host.frames[0]["id"]]]
        told(lease, down_s=50, died={"number": 1, "cause": "crashed", "flights": flights})
        await host.die()
        for call in calls:
            refused = await asyncio.wait_for(call.answer(), 2)
            assert isinstance(refused, Unavailable) and refused.instance_code == "model_down"

    with_executor(tmp_path, scenario)


def test_suspects_that_nobody_waits_for_any_more_make_room_while_there_is_no_host(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        calls = [Recorded([[1.0]]), Recorded([[2.0]])]
        for call in calls:
            executor.submit(call)
        await until(lambda: host.frames)
        flights = [[CLIENT, host.frames[0]["id"]]]
        told(lease, died={"number": 1, "cause": "crashed", "flights": flights})
        await host.die()
        await until(lambda: executor._suspects)
        for call in calls:
            call.abandoned = True
        await until(lambda: executor.waiting_rows == 0)
        await asyncio.wait_for(executor.close(), 2)

    with_executor(tmp_path, scenario)


@pytest.mark.parametrize("host_first", [True, False])
def test_with_the_supervisor_gone_nobody_waits_for_its_word(tmp_path: Path, host_first: bool) -> None:
    """Its hosts go with it, and no successor knows of them: what was out goes to the next host at once."""

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        call = Recorded([[1.0]])
        executor.submit(call)
        await until(lambda: host.frames)
        if host_first:
            await host.die()
            await until(lambda: executor._limbo)
        lease.lose()
        await host.die()
        other = PlayedHost(tmp_path, 2)
        await other.start()
        told(lease, other)
        assert await asyncio.wait_for(call.answer(), 2) == [2.0]
        await other.die()
        told(lease)

    with_executor(tmp_path, scenario)


@pytest.mark.parametrize("told_how", ["died", "lost"])
def test_a_connection_that_outlives_its_host_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_how: str
) -> None:
    """A process that the model began, and that got away, may have it open."""
    monkeypatch.setattr(executing, "LIMBO_S", 0.3)

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        call = Recorded([[1.0]])
        executor.submit(call)
        await until(lambda: host.frames)
        other = PlayedHost(tmp_path, 2)
        await other.start()
        if told_how == "died":
            told(lease, other, died={"number": 1, "cause": "killed", "flights": []})
        else:
            lease.lose()
            told(lease, other)
        assert await asyncio.wait_for(call.answer(), 3) == [2.0]
        await other.die()
        told(lease)

    with_executor(tmp_path, scenario)


def test_the_same_host_lost_twice_loses_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "LIMBO_S", 1.0)
    hang_ups = iter([None, None])

    def twice(header: dict[str, Any], inputs: Any) -> bytes | None:
        return next(hang_ups, doubled(header, inputs))

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.reply = twice
        first, second = Recorded([[1.0]]), Recorded([[2.0]])
        executor.submit(first)
        await until(lambda: len(host.frames) == 1)
        executor.submit(second)
        await until(lambda: len(host.frames) == 2)
        assert [await asyncio.wait_for(call.answer(), 6) for call in (first, second)] == [[2.0], [4.0]]

    with_executor(tmp_path, scenario)


@pytest.mark.parametrize("times", [(float("nan"), 0.1), (1.0, float("inf")), (1.0, -1.0), (1.0, float("nan"))])
def test_times_that_cannot_be_are_no_answer(tmp_path: Path, times: tuple[float, float]) -> None:
    def lying(header: dict[str, Any], inputs: Any) -> bytes:
        described, arrays = describe_outputs(Outputs(NUMBER.output, values=np.zeros(inputs.count)))
        said = {"rows": inputs.count, "started": times[0], "duration": times[1]}
        return pack({"id": header["id"], **said, **described}, arrays)

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.reply = lying
        call = Recorded([[1.0]])
        executor.submit(call)
        await until(lambda: executor._limbo or call.answers)
        told(lease, died={"number": 1, "cause": "garbage", "flights": []})
        assert isinstance(await asyncio.wait_for(call.answer(), 5), ModelFailed)
        assert executor.prospect(1).wait_s == 0

    with_executor(tmp_path, scenario)


def test_a_host_that_speaks_unasked_is_not_listened_to(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        await until(lambda: executor._links)
        (link,) = executor._links.values()
        host._writers[0].write(pack({"id": 1})[:-1])
        await until(lambda: link.number not in executor._links or executor._links[link.number] is not link)
        assert not link.free

    with_executor(tmp_path, scenario)


def test_a_large_call_that_ended_its_host_is_known_again(tmp_path: Path) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        host.silent = True
        rows = Matrix(np.arange(20.0).reshape(-1, 1))
        large = Recorded(rows)
        executor.submit(large)
        await until(lambda: host.frames)
        told(lease, died={"number": 1, "cause": "crashed", "flights": [[CLIENT, host.frames[0]["id"]]]})
        await host.die()
        assert isinstance(await asyncio.wait_for(large.answer(), 5), ModelFailed)
        with pytest.raises(ModelFailed):
            executor.submit(Recorded(rows))

    with_executor(tmp_path, scenario, max_rows=8)


class Solid(np.ndarray[Any, Any]):
    """Numbers that are not to be made Python objects of, one by one."""

    def tolist(self) -> Any:
        raise AssertionError("an object for every number")


def test_a_large_input_is_looked_for_among_those_that_crashed_without_an_object_for_every_number(
    tmp_path: Path,
) -> None:
    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        executor._quarantine.add(Recorded([[1.0]]), "crashed")
        large = Recorded(Matrix(np.random.default_rng(0).random((10_000, 30)).view(Solid)))
        assert executor._quarantine.find(large) is None

    with_executor(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_becomes_of_hosts_and_callers_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Rows that stayed on the count for ever would end in a model that refuses everybody."""
    monkeypatch.setattr(executing, "LIMBO_S", 0.1)
    dice = random.Random(seed)

    async def scenario(executor: HostedExecutor, lease: Lease, host: PlayedHost) -> None:
        calls: list[Recorded] = []
        number = 1
        for _ in range(150):
            host.silent = dice.random() < 0.3
            count = dice.choice([1, 1, 2, 5, 30])
            late = time.monotonic() + dice.choice([0.0, 0.02, 30.0, 30.0])
            call = Recorded(Matrix(np.full((count, 1), float(len(calls)))), late)
            with contextlib.suppress(Unavailable, ModelFailed):
                executor.submit(call)
                calls.append(call)
            if calls and dice.random() < 0.3:
                left = dice.choice(calls)
                left.abandoned = not left.answers
            await asyncio.sleep(dice.choice([0, 0, 0.002, 0.01]))
            if dice.random() < 0.25:
                flights = [[CLIENT, header["id"]] for header in host.frames[-1:]]
                died = {"number": number, "cause": dice.choice(["crashed", "killed", "time_limit"]), "flights": flights}
                number += 1
                dead, host = host, PlayedHost(tmp_path, number)
                await host.start()
                what = dice.random()
                if what < 0.2:
                    lease.lose()
                elif what < 0.9:
                    told(lease, died=died, down_s=dice.choice([0, 0, 1]))
                await dead.die()
                told(lease, host)
        host.silent = False
        told(lease)  # whom it has not answered until now it will not
        await host.die()
        number += 1
        host = PlayedHost(tmp_path, number)
        await host.start()
        told(lease, host)
        last = Recorded([[7.0]])
        executor.submit(last)
        assert await asyncio.wait_for(last.answer(), 5) == [14.0]
        await until(lambda: executor.waiting_rows == 0)
        assert executor._batcher._running_rows == 0
        assert not (executor._innocent or executor._limbo or executor._again or executor._suspects or executor._dead)
        assert all(call.abandoned or len(call.answers) == 1 for call in calls)
        right = [isinstance(a, Exception) or set(a) == {2.0 * i} for i, call in enumerate(calls) for a in call.answers]
        assert all(right)
        await executor.close()
        await host.die()

    with_executor(tmp_path, scenario, max_rows=8)
