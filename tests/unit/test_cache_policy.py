"""Which versions have a cache: what the manifest says, and where the settings say otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.caching.policy import DEFAULT_TTL_S, CachePolicy, Terms
from foretell.core.cache import CacheOptions
from foretell.errors import ManifestError, SettingsError
from foretell.redis.breaker import QUIET_S, Breaker
from foretell.settings import Cache, Settings

ON, OFF = CacheOptions(enabled=True, ttl_s=5.0, max_bytes=4096), CacheOptions(enabled=False, ttl_s=5.0)


@pytest.mark.parametrize(
    ("models", "said", "cached"),
    [
        ("manifest", None, False),
        ("manifest", CacheOptions(), False),
        ("manifest", ON, True),
        ("manifest", OFF, False),
        ("all", None, True),
        ("all", OFF, True),
        ("none", ON, False),
        (("shop", "iris"), None, True),
        (("iris",), ON, False),
    ],
)
def test_the_settings_win(models: Any, said: CacheOptions | None, cached: bool) -> None:
    assert (CachePolicy(models).terms("shop", said) is not None) == cached


def test_the_terms_are_the_settings_then_the_manifests_then_a_minute() -> None:
    assert CachePolicy("all").terms("shop", None) == Terms(DEFAULT_TTL_S, None)
    assert CachePolicy("all").terms("shop", ON) == Terms(5.0, 4096)
    assert CachePolicy("all", 9.0).terms("shop", ON) == Terms(9.0, 4096)


@pytest.mark.parametrize("options", [CacheOptions(), CacheOptions(True), ON, OFF])
def test_a_manifest_table_comes_back_as_it_was(options: CacheOptions) -> None:
    assert CacheOptions.from_document(options.to_document() or None) == options


def test_an_empty_table_switches_the_cache_on() -> None:
    assert CacheOptions.from_document({}) == CacheOptions(enabled=True)


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"ttl": 5}, "unknown keys: ttl"),
        ({"enabled": "yes"}, r"cache\.enabled"),
        ({"ttl_s": 0}, r"cache\.ttl_s"),
        ({"ttl_s": True}, r"cache\.ttl_s"),
        ({"ttl_s": "60"}, r"cache\.ttl_s"),
        ({"ttl_s": float("nan")}, r"cache\.ttl_s"),
        ({"max_bytes": 1}, r"cache\.max_bytes"),
        ({"max_bytes": 4096.0}, r"cache\.max_bytes"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table: dict[str, Any], place: str) -> None:
    with pytest.raises(ManifestError, match=place):
        CacheOptions.from_document(table)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_models_are_words_or_names() -> None:
    assert Cache(models="all").models == "all"
    assert Cache.model_validate({"models": "iris, shop"}).models == ("iris", "shop")
    with pytest.raises(ValueError, match="manifest, all, none, or names of models"):
        Cache.model_validate({"models": "no such/name"})


def test_neither_secret_nor_address_stands_in_a_fault() -> None:
    environ = {"FORETELL_CACHE__SECRET": "hush", "FORETELL_CACHE__REDIS_URL": "redis://:hush@x/" + "y" * 5000}
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ=environ)
    assert "FORETELL_CACHE__SECRET" in caught.value.detail
    assert "hush" not in caught.value.detail


def test_workers_sign_with_the_secret_of_the_process_that_started_them() -> None:
    started = Settings(cache=Cache(redis_url="redis://127.0.0.1"))
    worker = Settings.from_export(started.export())
    assert worker.cache.secret == worker.cache.signing == started.cache.signing
    assert len(started.cache.signing) >= 32
    own = Settings(cache=Cache(redis_url="redis://127.0.0.1", secret="one of our own, long"))
    assert Settings.from_export(own.export()).cache.signing == "one of our own, long"


# -- the breaker -------------------------------------------------------------------------------------------------------


def test_the_breaker_is_open_until_something_answers_and_after_each_failure() -> None:
    breaker = Breaker(retry_s=1.0)
    assert not breaker.closed
    breaker.succeeded(0.0)
    assert breaker.closed
    breaker.failed(0.0)
    assert not breaker.closed


def test_an_accident_is_tried_again_at_once_and_a_habit_after_a_while() -> None:
    breaker = Breaker(retry_s=1.0)
    assert breaker.failed(0.0) == 0.0
    assert breaker.failed(0.5) == 1.0
    breaker.succeeded(1.5)
    assert breaker.failed(QUIET_S) == 1.0
    assert breaker.failed(3 * QUIET_S) == 0.0


def test_what_fails_as_soon_as_it_is_asked_is_tried_less_and_less_often() -> None:
    breaker, now_s, pauses = Breaker(retry_s=1.0), 0.0, []
    for _ in range(6):
        breaker.succeeded(now_s)
        pauses.append(breaker.failed(now_s + 0.02))
        now_s += 0.02 + pauses[-1]
    assert pauses == [0.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert breaker.failed(now_s) == 1.0, "what does not even answer a try harms nobody"
    breaker.succeeded(now_s)
    assert breaker.failed(now_s + 1.5) == 1.0, "it was of use meanwhile"
    breaker.succeeded(now_s)
    assert breaker.failed(now_s + 2 * QUIET_S) == 0.0
