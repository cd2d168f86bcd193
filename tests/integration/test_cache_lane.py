"""Remembered answers in the lane: the ordinary way's answers, one decision for both, each caller for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from foretell.caching.redis import RedisStore
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.execution.threaded import ThreadedExecutor
from foretell.lifecycle.catalog import Entry
from tests.integration.test_cache import Scaled, cached
from tests.redis_server import redis_server
from tests.report import Report
from tests.serving import Running, Sum, caches, running, until
from tests.wire import Answer, Wire, get, post

PREDICT = "/api/v1/predict"
UNSTEADY = ("prediction_id", "timestamp")
Serve = Callable[..., AbstractContextManager[Running]]


def ask(x: float, y: float = 0.0, *headers: str) -> bytes:
    return post(PREDICT, json.dumps({"features": [x, y]}).encode(), *headers)


def counts(server: Running) -> dict[str, int]:
    cache = server.services.servable.cache
    assert cache is not None
    found = cache.to_document()
    return {name: found[name] for name in ("hits", "misses", "shared", "errors")}


def said(answers: list[Answer]) -> list[str]:
    return [answer.headers["x-cache"] for answer in answers]


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(model: Any | None = None, **options: Any) -> AbstractContextManager[Running]:
        return running(model, lane=request.param, open_cache=caches().cache, **options)

    return start


def test_hits_and_misses_are_the_ordinary_ways_answers() -> None:
    found = []
    for lane in (True, False):
        with running(lane=lane, open_cache=caches().cache) as server, Wire(server.port) as wire:
            answers = []
            for request in (ask(1, 2), ask(1.0, 2e0), ask(3, 4), ask(1, 2)):
                wire.send(request)
                answers.append(wire.answer())
            server.eventually(lambda served=server.services.servable.served: served.rows == 4)  # type: ignore[misc]
            served = server.services.servable.served
            assert (served.lane, served.ordinary) == ((4, 0) if lane else (0, 4))
            assert counts(server) == {"hits": 2, "misses": 2, "shared": 0, "errors": 0}
            found.append(answers)
    for by_lane, ordinary in zip(*found, strict=True):
        assert by_lane.headers.keys() == ordinary.headers.keys()
        assert by_lane.headers["x-cache"] == ordinary.headers["x-cache"]
        assert list(by_lane.json) == list(ordinary.json)
        hit = by_lane.headers["x-cache"] == "hit"
        for unsteady in UNSTEADY + (() if hit else ("inference_time_ms",)):
            assert type(by_lane.json.pop(unsteady, None)) is type(ordinary.json.pop(unsteady, None))
        steady = [
            {k: v for k, v in answer.json.items() if k not in UNSTEADY and (hit or k != "inference_time_ms")}
            for answer in (by_lane, ordinary)
        ]
        assert steady[0] == steady[1]
    assert said(found[0]) == ["miss", "hit", "miss", "hit"]
    assert found[0][1].json["inference_time_ms"] == 0.0


def test_what_one_way_keeps_the_other_finds() -> None:
    with running(open_cache=caches().cache) as server, Wire(server.port) as wire:
        answers = []
        for request in (ask(1, 2), ask(1, 2, "TE: trailers"), ask(3, 4, "TE: trailers"), ask(3, 4)):
            wire.send(request)
            answers.append(wire.answer())
        assert said(answers) == ["miss", "hit", "miss", "hit"]
        server.eventually(lambda: server.services.servable.served.rows == 4)
        assert server.services.servable.served.ordinary == 2
        assert len({answer.json["prediction_id"] for answer in answers}) == 4


def test_each_is_told_of_once_and_a_hit_tells_of_no_model_call(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        wire.send(*(ask(1, 2, f"X-Request-ID: told-{i}") for i in range(5)))
        answers = [wire.answer() for _ in range(5)]
        assert [answer.headers["x-request-id"] for answer in answers] == [f"told-{i}" for i in range(5)]
        assert said(answers) == ["miss", "hit", "hit", "hit", "hit"]
        server.eventually(lambda: len(server.observer.ids) == 5)
        assert sorted(server.observer.ids) == [f"told-{i}" for i in range(5)]
        told = {request_id: shared for shared, request_id, _ in server.observer.lane}
        told |= {outcome.request_id: outcome for outcome in server.observer.outcomes}
        assert [told[f"told-{i}"].batch_rows for i in range(5)] == [1, 0, 0, 0, 0]
        assert [told[f"told-{i}"].inference_ms is None for i in range(5)] == [False, True, True, True, True]
        assert {outcome.status for outcome in told.values()} == {200}
        assert counts(server) == {"hits": 4, "misses": 1, "shared": 0, "errors": 0}


def test_mixes_of_hits_misses_and_others_are_answered_in_their_order(serve: Serve) -> None:
    with serve(make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        wire.send(ask(7))
        assert wire.answer().status == 200
        live = get("/health/live")
        wire.send(ask(7), ask(1), ask(7), live, ask(1), post(PREDICT, b"{"), ask(7), ask(2), ask(2), live, ask(7))
        answers = [wire.answer() for _ in range(11)]
        assert [answer.status for answer in answers] == [200] * 5 + [400] + [200] * 5
        predictions = [answer.json.get("prediction") for answer in answers]
        assert predictions == [70.0, 10.0, 70.0, None, 10.0, None, 70.0, 20.0, 20.0, None, 70.0]


def test_equal_questions_at_once_are_one_call_and_whoever_leaves_leaves_the_others(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server:
        model.gate.clear()
        wires = [Wire(server.port) for _ in range(12)]
        wires[0].send(ask(4))
        assert model.entered.wait(20)
        for wire in wires[1:]:
            wire.send(ask(4))
        server.eventually(lambda: server.services.servable.leases == 12)
        for wire in wires[:4]:  # who began it among them
            wire.socket.close()
        server.eventually(lambda: server.services.servable.leases == 8)
        model.gate.set()
        answers = [wire.answer() for wire in wires[4:]]
        assert [answer.json["prediction"] for answer in answers] == [40.0] * 8
        assert set(said(answers)) == {"hit"}
        assert model.batches == [1]
        server.eventually(lambda: len(server.observer.ids) == 12)
        gone = [o for o in server.observer.outcomes if o.status == 499]
        gone += [shared for shared, _, _ in server.observer.lane if shared.status == 499]
        assert len(gone) == 4
        assert counts(server)["shared"] == 8
        for wire in wires[4:]:
            wire.socket.close()
        server.eventually(lambda: server.services.servable.leases == 0)


def test_what_nobody_waits_for_any_more_is_not_computed(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server:
        model.gate.clear()
        busy, left = Wire(server.port), Wire(server.port)
        busy.send(ask(1))
        assert model.entered.wait(20)
        left.send(ask(2))
        server.eventually(lambda: server.services.servable.leases == 2)
        left.socket.close()
        server.eventually(lambda: server.services.servable.leases == 1)
        model.gate.set()
        assert busy.answer().status == 200
        busy.send(ask(3))
        assert busy.answer().status == 200
        assert model.batches == [1, 1]
        busy.socket.close()


class NoNumber(Sum):
    """NaN for every x above 5."""

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        return Outputs(self.signature.output, values=np.where(inputs.values[:, 0] > 5, np.nan, 1.0))


@pytest.mark.parametrize(
    ("model", "x", "code"), [(Sum(), -1.0, "model_failed"), (NoNumber(), 9.0, "model_gave_no_number")]
)
def test_a_failure_is_explained_counted_by_nobody_and_told_of_once(
    serve: Serve, model: Sum, x: float, code: str
) -> None:
    model.gate.set()
    with serve(model) as server, Wire(server.port) as wire:
        for i in range(2):
            wire.send(ask(x, 0.0, f"X-Request-ID: failed-{i}"))
            answer = wire.answer()
            assert (answer.status, answer.json["code"]) == (500, code)
            assert "x-cache" not in answer.headers
        wire.send(ask(1))
        assert wire.answer().headers["x-cache"] == "miss"
        server.eventually(lambda: len(server.observer.ids) == 3)
        assert counts(server) == {"hits": 0, "misses": 1, "shared": 0, "errors": 0}
        server.eventually(lambda: server.services.servable.leases == 0)


def test_a_request_behind_a_hit_in_the_same_bytes_may_take_longer_than_the_idle_time(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor, keep_alive_s=1) as server, Wire(server.port) as wire:
        wire.send(ask(1))
        assert wire.answer().status == 200
        model.gate.clear()
        wire.send(ask(1), ask(2, 0, "TE: trailers"))
        assert wire.answer().headers["x-cache"] == "hit"
        with Wire(server.port) as idle:  # its end shows that the idle time has passed
            idle.send(get("/health/live"))
            assert idle.answer().status == 200
            assert idle.closed()
        model.gate.set()
        assert wire.answer().json["prediction"] == 20.0


def test_the_deadline_holds_for_what_is_not_remembered(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor, limits={"timeout_s": 0.2}) as server, Wire(server.port) as wire:
        wire.send(ask(1))
        assert wire.answer().status == 200
        model.gate.clear()
        wire.send(ask(2))
        assert wire.answer().status == 504
        wire.send(ask(1))
        assert wire.answer().headers["x-cache"] == "hit", "a model that hangs keeps nobody from what is remembered"
        model.gate.set()


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_what_is_in_redis_is_a_hit_and_the_wait_for_it_holds_nobody(lane: bool) -> None:
    with redis_server() as redis:
        for start in ("fills", "finds"):
            remote = RedisStore(redis.url, budget_s=5.0, max_value_bytes=1 << 16)
            memory = caches(remote=remote)
            with running(lane=lane, open_cache=memory.cache) as server, Wire(server.port) as wire:
                loop = server.server.servers[0].get_loop()
                asyncio.run_coroutine_threadsafe(remote.open(), loop).result(20)
                until(lambda: remote.available)  # noqa: B023
                wire.send(ask(1, 2))
                answer = wire.answer()
                assert answer.json["prediction"] == 12.0
                assert answer.headers["x-cache"] == {"fills": "miss", "finds": "hit"}[start]
                with redis.client() as client:
                    until(lambda: client.dbsize() == 1)
                if start == "finds":
                    redis.hang()
                    wire.send(ask(3))
                    with Wire(server.port) as other:
                        other.send(ask(1, 2))
                        assert other.answer().headers["x-cache"] == "hit"
                    redis.wake()
                    assert wire.answer().json["prediction"] == 30.0
                asyncio.run_coroutine_threadsafe(remote.close(), loop).result(20)


# -- many models, many versions, the same questions --------------------------------------------------------------------


def wrong_answers(requests: int, lane: bool, **terms: Any) -> tuple[int, int]:
    """Asks 50 models and versions the same few questions over 50 connections: how many were wrong, and were hits."""
    memory = caches(**terms)
    names = [(f"m{i // 2}", f"v{i % 2}") for i in range(50)]
    entries: list[Entry] = [
        cached(f"{model} {version}", Scaled(i + 1.0), memory) for i, (model, version) in enumerate(names)
    ]
    chance = np.random.default_rng(7)
    wrong = hits = 0
    with running(lane=lane, others=entries) as server:
        wires = [Wire(server.port) for _ in range(50)]
        for start in range(0, requests, 50):
            asked = []
            for number in range(start, start + 50):
                which, x = (number * 7 + number // 50) % 50, int(chance.integers(10))
                path = "/api/v1/models/{}/versions/{}/predict".format(*names[which])
                body = f'{{"features": [{x}.{"5" if chance.integers(2) else "50"}, {number % 3}]}}'.encode()
                asked.append((which, x, number % 3, post(path, body)))
            for wire, (*_, request) in zip(wires, asked, strict=True):
                wire.send(request)
            for wire, (which, x, y, _) in zip(wires, asked, strict=True):
                answer = wire.answer()
                right = (x + 0.5 + y) * (which + 1.0), *names[which]
                found = answer.json
                wrong += (found.get("prediction"), found.get("model"), found.get("model_version")) != right
                hits += answer.headers["x-cache"] == "hit"
        for wire in wires:
            wire.socket.close()
        if lane:
            server.eventually(lambda: len(server.observer.ids) == requests)
            assert len(server.observer.lane) == requests
    return wrong, hits


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_no_model_or_version_ever_gets_anothers_answer(lane: bool) -> None:
    wrong, hits = wrong_answers(4_000, lane)
    assert wrong == 0
    assert hits > 2000


def test_no_answer_is_wrong_where_memory_is_short() -> None:
    wrong, hits = wrong_answers(4_000, True, max_bytes=300_000)
    assert wrong == 0
    assert 0 < hits < 3500


@pytest.mark.torture
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_a_hundred_thousand_requests_and_no_wrong_answer(lane: bool, report: Report) -> None:
    wrong, hits = wrong_answers(100_000, lane)
    way = "by the lane" if lane else "the ordinary way"
    report(
        f"Colliding questions to 50 models and versions, {way}", bar="0 wrong", requests=100_000, hits=hits, wrong=wrong
    )
    assert wrong == 0
