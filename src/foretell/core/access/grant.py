"""What a key is to be for: its name, what it may do, how much of it and how long. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from foretell.core.access.rates import Rate
from foretell.core.access.scopes import ADMIN, SCOPES, Scope
from foretell.core.identity import closest, name_fault
from foretell.errors import Fault

MAX_MODELS = 1000
MAX_RATES = 16
LONGEST_S = 10 * 366 * 86_400

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_DURATION = re.compile(r"(\d{1,6})\s*(s|m|h|d|w|y)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 365 * 86_400}
NAME_WORDS = "up to 128 letters, digits, '.', '_', '@' and '-', the first a letter or digit"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key may do. ``models`` None: all. ``lifetime_s`` None: until it is revoked."""

    name: str
    tenant: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    rates: tuple[Rate, ...] = ()
    lifetime_s: float | None = None


def read_grant(
    name: str,
    *,
    tenant: str | None,
    scopes: Iterable[str],
    models: Iterable[str] | None,
    rates: Iterable[tuple[str, str]],
    expires: str | None,
) -> tuple[Grant | None, list[Fault]]:
    """The grant that the texts mean, or every fault in them. ``rates`` are (pointer, text)."""
    faults: list[Fault] = []
    for field, text in (("name", name), ("tenant", tenant)):
        if text is not None and not _NAME.fullmatch(text):
            faults.append(_fault(f"/{field}", f"must be {NAME_WORDS}", text))
    scopes, models = list(scopes), None if models is None else list(models)
    faults += _scope_faults(scopes)
    faults += _model_faults(models, scopes)
    read, rate_faults = _read_rates(list(rates))
    lifetime_s = None
    try:
        lifetime_s = None if expires is None else read_duration(expires)
    except ValueError as error:
        faults.append(_fault("/expires", str(error), expires or ""))
    faults += rate_faults
    if faults:
        return None, faults
    granted = frozenset(scope for scope in SCOPES if scope in scopes)
    restricted = None if models is None else frozenset(models)
    return Grant(name, tenant or name, granted, restricted, read, lifetime_s), []


def read_duration(text: str) -> float:
    """Seconds of ``90d``, ``24h``, ``30m``, ``1y``; infinity for ``never``. Raises ValueError."""
    if text.strip().lower() == "never":
        return math.inf
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else -1
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError("must be a time such as 30m, 24h, 90d, 12w or 1y, ten years at most, or never")
    return seconds


def _scope_faults(scopes: list[str]) -> list[Fault]:
    if not scopes:
        return [_fault("/scopes", f"must name at least one of {', '.join(SCOPES)}", "")]
    return [
        _fault(f"/scopes/{index}", f"must be one of {', '.join(SCOPES)}", scope, closest(scope, SCOPES))
        for index, scope in enumerate(scopes[:100])
        if scope not in SCOPES
    ]


def _model_faults(models: list[str] | None, scopes: list[str]) -> list[Fault]:
    if models is None:
        return []
    if ADMIN in scopes:  # such a key could make itself another one for all models
        return [_fault("/models", "must be left out where the scopes include admin: it reaches everything", "")]
    if not models or len(models) > MAX_MODELS:
        return [_fault("/models", f"must name 1 to {MAX_MODELS} models; left out it means all", "")]
    found = ((index, name, name_fault(name)) for index, name in enumerate(models))
    return [_fault(f"/models/{index}", f"cannot name a model: {why}", name) for index, name, why in found if why]


def _read_rates(given: list[tuple[str, str]]) -> tuple[tuple[Rate, ...], list[Fault]]:
    if len(given) > MAX_RATES:
        return (), [_fault("/rates", f"must be {MAX_RATES} at most", "")]
    rates, faults = [], []
    for pointer, text in given:
        try:
            rates.append(Rate.parse(text))
        except ValueError as error:
            faults.append(_fault(pointer, str(error), text))
    return tuple(dict.fromkeys(rates)), faults


def _fault(pointer: str, message: str, value: str, suggestion: str | None = None) -> Fault:
    return Fault("invalid_grant", message, pointer, value=value or None, suggestion=suggestion)
