"""What one version remembers: in this process, and in a store that may do anything but harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from foretell.caching.base import AnswerCache, Answered, RemoteFailed
from foretell.caching.caches import Caches
from foretell.caching.policy import CachePolicy
from foretell.core.cache import CacheOptions
from foretell.core.identity import Ref
from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Matrix, Outputs, Table
from foretell.errors import ModelFailed
from tests.serving import run

SIGNATURE = Signature((Column("x"), Column("y")), output=Output("regression"))


@dataclass
class Store:
    """A store in a dictionary. ``failing`` makes it fail; ``get`` goes through ``spoil``."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    available: bool = True
    name: str = "dictionary"
    failing: bool = False
    full: bool = False
    gets: int = 0
    spoil: Callable[[bytes], bytes] = lambda value: value

    async def get(self, key: bytes) -> bytes | None:
        self.gets += 1
        await asyncio.sleep(0)
        if self.failing:
            raise RemoteFailed("late")
        value = self.values.get(key)
        return None if value is None else self.spoil(value)

    def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if not self.full:
            self.values[key] = value
        return not self.full

    async def open(self) -> None:
        self.available = True

    async def close(self) -> None:
        self.available = False


class Model:
    """Sums rows, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.outputs: Outputs | None = None

    def on(self, inputs: Any) -> Callable[[], Any]:
        async def compute() -> tuple[Outputs, str]:
            self.calls += 1
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
            return self.outputs or Outputs(SIGNATURE.output, values=inputs.values.sum(axis=1)), "ran"

        return compute


def opened(store: Store | None = None, version: str = "v1", **options: Any) -> AnswerCache:
    terms: dict[str, Any] = {"max_bytes": 1 << 20, "max_entry_bytes": 1 << 16, "secret": "a secret of the tests"}
    terms |= options
    caches = Caches(CachePolicy("all", 60.0), remote=store, **terms)
    cache = caches.cache(Ref("sum", version), "sha256:0", SIGNATURE, None)
    assert cache is not None
    return cache


def asked(cache: AnswerCache, model: Model, *rows: tuple[float, float]) -> Answered[str]:
    inputs = Matrix(np.array(rows, dtype=np.float64))
    answer: Answered[str] = run(cache.answer(inputs, time.monotonic() + 30, model.on(inputs)))
    assert answer.outputs.count == len(rows)
    return answer


def counts(cache: AnswerCache) -> dict[str, Any]:
    return {name: value for name, value in cache.to_document().items() if value and name not in ("max_bytes", "ttl_s")}


def test_a_question_asked_again_is_answered_without_the_model() -> None:
    cache, model = opened(), Model()
    first, second = asked(cache, model, (1, 2), (3, 4)), asked(cache, model, (1, 2), (3, 4))
    assert first.outputs.listed == second.outputs.listed
    assert (first.hit, first.ran, second.hit, second.ran, model.calls) == (False, "ran", True, None, 1)
    found = counts(cache)
    assert found.pop("bytes") > 0
    assert found == {"hits": 1, "misses": 1, "entries": 1}


def test_equal_questions_at_once_are_one_call() -> None:
    cache, model = opened(), Model()
    inputs = Matrix(np.array([[1.0, 2.0]]))

    async def all_at_once() -> list[Answered[str]]:
        deadline_s = time.monotonic() + 30
        return list(await asyncio.gather(*(cache.answer(inputs, deadline_s, model.on(inputs)) for _ in range(50))))

    answers = run(all_at_once())
    assert (model.calls, sum(answer.hit for answer in answers)) == (1, 49)
    assert counts(cache)["shared"] == 49


def test_a_failure_is_told_and_not_remembered() -> None:
    cache, model = opened(), Model()
    model.error = ModelFailed("no")
    with pytest.raises(ModelFailed):
        asked(cache, model, (1, 2))
    model.error = None
    assert not asked(cache, model, (1, 2)).hit
    assert counts(cache)["misses"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_remembered(value: float) -> None:
    cache, model = opened(), Model()
    model.outputs = Outputs(SIGNATURE.output, values=np.array([value]))
    asked(cache, model, (1, 2))
    assert not asked(cache, model, (1, 2)).hit


def test_answers_of_another_kind_than_the_signature_says_are_not_remembered() -> None:
    cache, model = opened(), Model()
    model.outputs = Outputs(Output("classification", (0,)), indices=np.array([0]))
    asked(cache, model, (1, 2))
    assert not asked(cache, model, (1, 2)).hit


def test_an_answer_too_large_or_of_a_kind_that_cannot_be_kept_is_given_and_counted() -> None:
    cache, model = opened(max_entry_bytes=64), Model()
    asked(cache, model, *[(1, 2)] * 20)
    assert not asked(cache, model, *[(1, 2)] * 20).hit
    odd = np.empty(1, dtype=object)
    odd[0] = 2**70
    model.outputs = Outputs(SIGNATURE.output, values=odd)
    assert not asked(cache, model, (5, 5)).hit
    assert counts(cache)["errors"] == 3


def test_a_question_that_has_no_key_is_answered_all_the_same() -> None:
    cache, model = opened(), Model()
    cells = np.empty(1, dtype=object)
    cells[0] = b"bytes"
    model.outputs = Outputs(SIGNATURE.output, values=np.array([7.0]))
    inputs = Table({"x": cells})
    for _ in range(2):
        assert not run(cache.answer(inputs, time.monotonic() + 30, model.on(inputs))).hit
    assert counts(cache) == {"misses": 2, "errors": 2}


def test_a_closed_cache_remembers_nothing() -> None:
    cache, model = opened(), Model()
    asked(cache, model, (1, 2))
    cache.close()
    assert not asked(cache, model, (1, 2)).hit
    assert counts(cache)["misses"] == 2
    assert "entries" not in counts(cache)


def test_where_the_policy_has_none_there_is_none() -> None:
    caches = Caches(CachePolicy(), max_bytes=4096, max_entry_bytes=1024, secret="a secret of the tests")
    assert caches.cache(Ref("sum", "v1"), "sha256:0", SIGNATURE, None) is None
    assert caches.cache(Ref("sum", "v1"), "sha256:0", SIGNATURE, CacheOptions(enabled=True)) is not None


# -- with a store ------------------------------------------------------------------------------------------------------


def test_what_one_process_knows_another_need_not_compute() -> None:
    store, model = Store(), Model()
    known, other = opened(store), opened(store)
    asked(known, model, (1, 2))
    assert asked(other, model, (1, 2)).hit
    assert asked(other, model, (1, 2)).hit
    assert (model.calls, store.gets) == (1, 2)
    assert other.to_document()["shared_store"] == {"name": "dictionary", "available": True}


def test_neither_another_version_nor_another_secret_finds_it() -> None:
    store, model = Store(), Model()
    asked(opened(store), model, (1, 2))
    assert not asked(opened(store, version="v2"), model, (1, 2)).hit
    assert not asked(opened(store, secret="another secret of the tests"), model, (1, 2)).hit


def test_a_store_that_fails_or_is_full_fails_nobody() -> None:
    store, model = Store(failing=True, full=True), Model()
    cache = opened(store)
    assert not asked(cache, model, (1, 2)).hit
    assert counts(cache)["errors"] == 2
    assert asked(cache, model, (1, 2)).hit


def test_a_store_that_is_away_is_not_asked() -> None:
    store, model = Store(available=False), Model()
    asked(opened(store), model, (1, 2))
    assert (store.gets, store.values) == (0, {})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:-1],
        lambda value: value + b"x",
        lambda value: b"",
        lambda value: b"garbage" * 10,
        lambda value: value[:60] + bytes([value[60] ^ 1]) + value[61:],
    ],
)
def test_a_value_that_was_tampered_with_is_computed_anew_and_put_right(spoil: Callable[[bytes], bytes]) -> None:
    store, model = Store(), Model()
    asked(opened(store), model, (1, 2))
    good = dict(store.values)
    store.spoil = spoil
    cache = opened(store)
    answer = asked(cache, model, (1, 2))
    assert (answer.hit, answer.outputs.listed.predictions) == (False, [3.0])
    assert counts(cache)["rejected"] == 1
    store.spoil = lambda value: value
    assert store.values.keys() == good.keys()
    assert asked(opened(store), model, (1, 2)).hit


def test_the_value_of_another_question_is_not_believed() -> None:
    store, model = Store(), Model()
    asked(opened(store), model, (1, 2))
    asked(opened(store), model, (3, 4))
    one, other = store.values
    store.values = {one: store.values[other], other: store.values[one]}
    assert asked(opened(store), model, (1, 2)).outputs.listed.predictions == [3.0]


def test_a_value_past_its_time_is_not_used_though_the_store_still_has_it() -> None:
    store, model = Store(), Model()
    asked(opened(store, clock=lambda: 1000.0), model, (1, 2))
    assert asked(opened(store, clock=lambda: 1059.0), model, (1, 2)).hit
    assert not asked(opened(store, clock=lambda: 1060.0), model, (1, 2)).hit


def test_what_another_process_would_keep_for_longer_is_kept_as_long_as_we_would() -> None:
    store, model = Store(), Model()
    terms: dict[str, Any] = {"max_bytes": 1 << 20, "max_entry_bytes": 1024, "secret": "a secret of the tests"}
    patient, hasty = (Caches(CachePolicy("all", ttl_s), remote=store, **terms) for ttl_s in (3600.0, 60.0))
    hasty.memory.clock = lambda: 0.0
    ours = hasty.cache(Ref("sum", "v1"), "sha256:0", SIGNATURE, None)
    theirs = patient.cache(Ref("sum", "v1"), "sha256:0", SIGNATURE, None)
    assert ours is not None
    assert theirs is not None
    asked(theirs, model, (1, 2))
    assert asked(ours, model, (1, 2)).hit
    store.values.clear()
    hasty.memory.clock = lambda: 61.0
    assert not asked(ours, model, (1, 2)).hit


def test_opening_and_closing_reach_the_store() -> None:
    store = Store(available=False)
    caches = Caches(
        CachePolicy("all"), max_bytes=4096, max_entry_bytes=64, secret="a secret of the tests", remote=store
    )
    run(caches.open())
    assert store.available
    run(caches.close())
    assert not store.available
