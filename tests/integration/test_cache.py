"""The cache as callers meet it: the same answers, said to be remembered, and shown where the model is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.bootstrap import open_services
from foretell.caching.caches import Caches
from foretell.caching.policy import CachePolicy
from foretell.codecs.json import codec as json_codec
from foretell.core.cache import CacheOptions
from foretell.core.values import Inputs, Outputs
from foretell.errors import DeadlineExceeded, OperatorError
from foretell.execution.threaded import ThreadedExecutor
from foretell.inference.service import Ask, InferenceService, Prediction
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.settings import Cache, Log, Settings
from tests.asgi import Api, Price, Shop, problem, ready, serving
from tests.redis_server import redis_server
from tests.report import Report
from tests.serving import Sum, caches, light_servable, run, until
from tests.zoo import specimen

PREDICT = "/api/v1/models/shop/predict"
UNSTEADY = ("prediction_id", "timestamp", "inference_time_ms", "total_time_ms")


def cached(name: str, model: Any, memory: Caches | None = None) -> Entry:
    """A ready version that remembers its answers."""
    entry = ready(name, model)
    servable = entry.servable
    assert servable is not None
    servable.cache = (memory or caches()).cache(servable.ref, servable.digest, servable.signature, None)
    return entry


@contextmanager
def shop(**options: Any) -> Iterator[Api]:
    with serving(cached("shop v1", Shop()), ready("price v1", Price()), default_model="shop", **options) as api:
        yield api


def steady(answer: Any) -> str:
    """What of an answer must be the same, in its order; CSV whole."""
    if answer.headers["content-type"].startswith("text/csv"):
        return str(answer.text)
    return json.dumps({k: v for k, v in answer.json().items() if k not in UNSTEADY})


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        (PREDICT, {"json": {"features": [1.5, 0.1 + 0.2]}}),
        (PREDICT + "?top_k=2", {"json": {"features": [1, None]}}),
        (PREDICT, {"json": {"x": 2, "y": 0.3}, "headers": {"accept": "text/csv"}}),
        (PREDICT, {"content": b"y,x\n0.7,2\n", "headers": {"content-type": "text/csv"}}),
        (PREDICT + "/batch?probabilities=true&top_k=3", {"json": {"features": [[1, 0.8], [2, None], [-3, 0.1]]}}),
        (PREDICT + "/batch", {"json": {"features": [[1, 0.8]] * 50}, "headers": {"accept": "text/csv"}}),
    ],
)
def test_a_remembered_answer_is_the_same_but_for_id_and_time(path: str, request_: dict[str, Any]) -> None:
    with shop() as api, serving(ready("shop v1", Shop())) as plain:
        answers = [api.client.post(path, **request_) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "hit"]
        uncached = plain.client.post(path, **request_)
        assert "x-cache" not in uncached.headers
        assert {steady(answer) for answer in answers} == {steady(uncached)}
        assert len({answer.headers.get("x-prediction-id") or answer.json()["prediction_id"] for answer in answers}) == 3


def test_what_is_asked_for_beside_the_prediction_is_no_other_question() -> None:
    with shop() as api:
        for query in ("", "?top_k=2", "?top_k=1"):
            answer = api.client.post(PREDICT + query, json={"features": [1, 0.8]})
            assert answer.headers["x-cache"] == ("hit" if query else "miss")
            assert len(answer.json().get("top", [])) == int(query[-1:] or 0)


def test_a_batch_of_one_row_and_the_row_alone_are_one_question() -> None:
    with shop() as api:
        assert api.client.post(PREDICT, json={"features": [1, 0.8]}).headers["x-cache"] == "miss"
        assert api.client.post(PREDICT + "/batch", json={"features": [[1.0, 0.80]]}).headers["x-cache"] == "hit"


def test_the_counts_stand_where_the_model_is_shown() -> None:
    with shop() as api:
        for features in ([1, 0.8], [1.0, 0.80], [2, 0.8]):
            api.client.post(PREDICT, json={"features": features})
        found = api.client.get("/api/v1/models/shop").json()["latest"]["cache"]
        assert (found["hits"], found["misses"], found["entries"], found["errors"]) == (1, 2, 2, 0)
        assert 0 < found["bytes"] < found["max_bytes"] == 1 << 24
        assert (found["ttl_s"], found["shared_store"]) == (60.0, None)
        assert api.client.get("/api/v1/models/price").json()["latest"]["cache"] is None


def test_a_request_line_of_a_remembered_answer_tells_of_no_model_call() -> None:
    with shop() as api:
        for _ in range(2):
            api.client.post(PREDICT, json={"features": [1, 0.8]})
        assert [outcome.batch_rows for outcome in api.outcomes] == [1, 0]
        assert [outcome.inference_ms is None for outcome in api.outcomes] == [False, True]


def test_refusals_and_failures_are_neither_remembered_nor_said_to_be() -> None:
    with shop() as api:
        for _ in range(2):
            answer = api.client.post(PREDICT, json={"features": [-7, 0.8]})
            problem(answer, 500, "model_failed")
            assert "x-cache" not in answer.headers
            problem(api.client.post(PREDICT, json={"features": [1]}), 400, "wrong_feature_count")
        assert api.client.get("/api/v1/models/shop").json()["latest"]["cache"]["misses"] == 0


def test_an_answer_that_is_no_number_is_refused_each_time() -> None:
    with serving(cached("price v1", Price())) as api:
        for _ in range(2):
            problem(api.client.post("/api/v1/predict", json={"features": [9, 1]}), 500, "model_gave_no_number")


# -- the plane ---------------------------------------------------------------------------------------------------------


class Plane:
    """The service around one slow model on a thread, with a cache."""

    def __init__(self, model: Sum) -> None:
        self.memory = caches()
        self.model = model
        self.servable: Servable = light_servable(model, Settings(), ThreadedExecutor, self.memory.cache)
        holder = CatalogHolder(Catalog.of([Entry(self.servable.ref, State.READY, None, self.servable)], "sum"))
        self.service = InferenceService(holder, Settings().limits.body)

    def ask(self, x: float, within_s: float = 30.0) -> asyncio.Future[Prediction]:
        body = json.dumps({"features": [x, 1]}).encode()
        return asyncio.ensure_future(
            self.service.predict(Ask("sum", None, body, json_codec, False, time.monotonic() + within_s))
        )

    async def until(self, condition: Any) -> None:
        await asyncio.to_thread(until, condition)

    async def close(self) -> None:
        self.model.gate.set()
        self.servable.retire()
        await self.servable.closed()


def test_whoever_began_may_leave_while_the_model_computes() -> None:
    async def story() -> None:
        model = Sum()
        plane = Plane(model)
        model.gate.clear()
        first = plane.ask(4)
        await plane.until(model.entered.is_set)
        others = [plane.ask(4) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        model.gate.set()
        found = await asyncio.gather(*others)
        assert [prediction.outputs.listed.predictions for prediction in found] == [[41.0]] * 5
        assert model.batches == [1]
        await plane.close()

    run(story())


def test_a_deadline_passes_for_its_owner_alone() -> None:
    async def story() -> None:
        model = Sum()
        plane = Plane(model)
        model.gate.clear()
        hasty = plane.ask(4, within_s=0.02)
        patient = plane.ask(4)
        with pytest.raises(DeadlineExceeded):
            await hasty
        model.gate.set()
        assert (await patient).outputs.listed.predictions == [41.0]
        assert (await plane.ask(4)).cache == "hit"
        assert model.batches == [1]
        await plane.close()

    run(story())


def test_work_that_nobody_waits_for_any_more_is_dropped_before_it_runs() -> None:
    async def story() -> None:
        model = Sum()
        plane = Plane(model)
        model.gate.clear()
        busy = plane.ask(1)
        await plane.until(model.entered.is_set)
        left = [plane.ask(2) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        model.gate.set()
        await busy
        await plane.close()
        assert model.batches == [1]

    run(story())


def test_a_version_that_retires_gives_its_memory_back() -> None:
    async def story() -> None:
        plane = Plane(Sum())
        for x in range(5):
            await plane.ask(x)
        assert plane.memory.memory.bytes > 0
        await plane.close()
        assert plane.memory.memory.bytes == 0

    run(story())


# -- as settings and manifests have it ---------------------------------------------------------------------------------


def test_settings_reach_the_models_they_name(tmp_path: Path) -> None:
    path = specimen("sklearn-iris-logistic").write(tmp_path, "iris")

    async def ask(cache: Cache) -> list[str | None]:
        settings = Settings(models=path, log=Log(level="error"), cache=cache)
        async with open_services(settings) as services:
            body = json.dumps({"features": [[5.1, 3.5, 1.4, 0.2]]}).encode()
            deadline_s = time.monotonic() + 30
            found = [await services.service.predict(Ask(None, None, body, json_codec, True, deadline_s)) for _ in "12"]
            return [prediction.cache for prediction in found]

    assert run(ask(Cache())) == [None, None]
    assert run(ask(Cache(models=("iris",)))) == ["miss", "hit"]
    assert run(ask(Cache(models=("other",)))) == [None, None]


def test_what_one_start_put_into_redis_the_next_one_finds(tmp_path: Path) -> None:
    path = specimen("sklearn-iris-logistic").write(tmp_path, "iris")

    async def ask(url: str, secret: str, until_there: bool = True) -> str | None:
        cache = Cache(models="all", redis_url=url, secret=secret, redis_timeout_ms=1000)
        async with open_services(Settings(models=path, log=Log(level="error"), cache=cache)) as services:
            remembered = services.service.catalog.resolve().cache
            assert remembered is not None

            def there() -> bool:
                return bool(remembered.to_document()["shared_store"]["available"])

            if until_there:
                await asyncio.to_thread(until, there)
            deadline_s = time.monotonic() + 30
            body = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
            return (await services.service.predict(Ask(None, None, body, json_codec, False, deadline_s))).cache

    with redis_server() as server:
        assert run(ask(server.url, "a secret of the tests")) == "miss"
        with server.client() as client:
            until(lambda: client.dbsize() == 1)
        assert run(ask(server.url, "a secret of the tests")) == "hit"
        assert run(ask(server.url, "another secret of the tests")) == "miss"
        url = server.url
    assert run(ask(url, "a secret of the tests", until_there=False)) == "miss", "without Redis it serves all the same"


@pytest.mark.parametrize("url", ["nonsense://", "redis://127.0.0.1:port/hush"])
def test_an_address_that_is_none_is_told_at_the_start_without_the_password(tmp_path: Path, url: str) -> None:
    settings = Settings(models=tmp_path, cache=Cache(redis_url=url))

    async def start() -> None:
        async with open_services(settings):
            pass

    with pytest.raises(OperatorError, match=r"cache\.redis_url is no address") as caught:
        run(start())
    assert "hush" not in str(caught.value.hint) + caught.value.detail


def test_a_manifest_may_ask_for_a_cache() -> None:
    memory = Caches(CachePolicy(), max_bytes=1 << 20, max_entry_bytes=1024, secret="a secret of the tests")
    servable = ready("shop v1", Shop()).servable
    assert servable is not None
    said = CacheOptions(enabled=True, ttl_s=7.0, max_bytes=5000)
    cache = memory.cache(servable.ref, servable.digest, servable.signature, said)
    assert cache is not None
    assert (cache.to_document()["ttl_s"], cache.to_document()["max_bytes"]) == (7.0, 5000)


# -- many models, many versions, the same questions --------------------------------------------------------------------


class Scaled:
    """The sum of a row times a factor: another answer for every version."""

    model_type = "Scaled"
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a protocol's attribute, never written
    signature = Price.signature

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, inputs: Inputs) -> Outputs:
        values = inputs.values.sum(axis=1) * self.factor  # type: ignore[union-attr]  # a matrix, by the signature
        return Outputs(self.signature.output, values=values)

    def close(self) -> None:
        """Holds nothing."""


def wrong_answers(requests: int, memory: Caches) -> int:
    """Asks 50 models and versions the same few questions, many at a time."""
    names = [(f"m{i // 2}", f"v{i % 2}") for i in range(50)]

    async def story() -> int:
        entries = [cached(f"{model} {version}", Scaled(i + 1.0), memory) for i, (model, version) in enumerate(names)]
        service = InferenceService(CatalogHolder(Catalog.of(entries)), Settings().limits.body)
        chance = np.random.default_rng(7)
        wrong = hits = 0

        async def ask(number: int) -> None:
            nonlocal wrong, hits
            which, x, many = number % 50, int(chance.integers(10)), bool(chance.integers(2))
            row = f"[{x}.50, {number % 3}]"
            body = f'{{"features": {f"[{row}, {row}]" if many else row}}}'.encode()
            asked = Ask(*names[which], body, json_codec, many, time.monotonic() + 60)
            found = await service.predict(asked)
            hits += found.cache == "hit"
            expected = [(x + 0.5 + number % 3) * (which + 1.0)] * (2 if many else 1)
            wrong += found.outputs.listed.predictions != expected or found.servable.ref.model != names[which][0]

        for start in range(0, requests, 500):
            await asyncio.gather(*(ask(number) for number in range(start, start + 500)))
        assert hits > requests * 0.5
        return wrong

    return int(run(story()))


@pytest.mark.parametrize("requests", [10_000, pytest.param(100_000, marks=pytest.mark.torture)])
def test_no_model_or_version_ever_gets_anothers_answer(requests: int, report: Report) -> None:
    wrong = wrong_answers(requests, caches())
    report("A cache for 50 models and versions that are asked the same", bar="0 wrong", requests=requests, wrong=wrong)
    assert wrong == 0


def test_no_answer_is_wrong_where_memory_is_short() -> None:
    assert wrong_answers(5_000, caches(max_bytes=2_000_000)) == 0
