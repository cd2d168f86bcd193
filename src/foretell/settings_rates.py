"""The group of the settings tree that says how much callers may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from foretell.core.access.rates import Rate
from foretell.core.identity import name_fault
from foretell.settings_groups import Group

_NONE = "none"
_MOST = 16


class Rates(Group):
    per_key: tuple[str, ...] = Field(
        default=(),
        description="What each key, token and certificate may use, besides its own rates: such as `100/s, 1M/month, "
        "5k rows/h`.",
    )
    per_tenant: tuple[str, ...] = Field(default=(), description="What all callers of a tenant may use together.")
    per_model: Mapping[str, tuple[str, ...]] = Field(
        default={},
        description="What all callers together may use of a model: a table of names and rates, or "
        "`iris=100/s, churn=10/s`.",
    )
    anonymous: tuple[str, ...] = Field(
        default=("10/s",),
        description="What each address may use that sends no credential, where that is allowed; `none`: no limit. "
        "Callers on this machine have none.",
    )
    failures: tuple[str, ...] = Field(
        default=("10/m",),
        description="How many wrong credentials an address may present before it is answered 429; `none`: any number.",
    )
    redis_url: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        repr=False,
        description="A Redis in which several hosts count together, such as `redis://:password@host:6379/0`.",
    )
    redis_timeout_ms: float = Field(
        default=20.0, ge=1, le=1000, description="Most milliseconds a request waits for that Redis."
    )

    @field_validator("per_key", "per_tenant", "anonymous", "failures", mode="before")
    @classmethod
    def _rates(cls, given: Any) -> Any:
        return _texts(given)

    @field_validator("per_model", mode="before")
    @classmethod
    def _rates_of_models(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = _table(given)
        if not isinstance(given, Mapping):
            raise ValueError("must be a table of models and rates, or iris=100/s, churn=10/s")
        for name in given:
            if fault := name_fault(str(name)):
                raise ValueError(f"{str(name)[:64]!r} cannot name a model: {fault}")
        return {name: _texts(rates) for name, rates in given.items()}


def parsed(texts: tuple[str, ...]) -> tuple[Rate, ...]:
    """The rates of a setting."""
    return tuple(map(Rate.parse, texts))


def _texts(given: Any) -> tuple[str, ...]:
    """Rates as they are written back, from a list or a text with commas. Raises ValueError."""
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be rates such as 100/s, 1M/month, with commas between them, or none")
    texts = [text.strip() for text in texts if text.strip()]
    if texts == [_NONE]:
        return ()
    if len(texts) > _MOST:
        raise ValueError(f"must be {_MOST} rates at most")
    return tuple(str(Rate.parse(text)) for text in texts)


def _table(text: str) -> dict[str, list[str]]:
    """``iris=100/s, iris=1M/day, churn=10/s``."""
    table: dict[str, list[str]] = {}
    for entry in text.split(","):
        name, equals, rate = (part.strip() for part in entry.partition("="))
        if entry.strip() and not equals:
            raise ValueError("must be a table of models and rates, or iris=100/s, churn=10/s")
        if equals:
            table.setdefault(name, []).append(rate)
    return table
