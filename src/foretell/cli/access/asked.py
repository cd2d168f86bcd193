"""What the options of the commands for keys mean."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from foretell.core.access.grant import Grant, read_duration, read_grant
from foretell.core.moments import read_moment
from foretell.errors import Fault, KeyFault


def read_options(
    name: str,
    *,
    tenant: str | None,
    scopes: Iterable[str] | None,
    models: Iterable[str] | None,
    rates: Iterable[str] | None,
    quotas: Iterable[str] | None,
    expires: str,
) -> Grant:
    """The key that is asked for. Raises KeyFault, which names every option that cannot be."""
    limits = [("--rate", text) for text in _each(rates)] + [("--quota", text) for text in _each(quotas)]
    grant, faults = read_grant(
        name,
        tenant=tenant,
        scopes=list(_each(scopes)) or ["predict"],
        models=list(_each(models)) or None,
        rates=limits,
        expires=expires,
    )
    if grant is None:
        raise KeyFault(_listing(faults), hint="foretell keys create --help shows examples")
    return grant


def read_grace(text: str) -> float:
    """Seconds of ``--grace``. Raises KeyFault."""
    seconds = read_lifetime(text, "--grace")
    if seconds == math.inf:
        raise KeyFault("--grace must come to an end.", hint="such as --grace 24h; 0s ends the old key at once")
    return seconds


def read_lifetime(text: str, option: str = "--expires") -> float:
    """Seconds of ``--expires``; infinity for never. Raises KeyFault."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise KeyFault(f"{option} {text[:64]!r} {error}.") from None


def read_since(text: str, option: str = "--since") -> float:
    """Seconds since the epoch of a moment, or of how long ago. Raises KeyFault."""
    try:
        return time.time() - read_duration(text)
    except ValueError:
        try:
            return read_moment(text)
        except ValueError as error:
            raise KeyFault(f"{option} {text[:64]!r} {error}, or how long ago, such as 24h.") from None


def _each(given: Iterable[str] | None) -> Iterable[str]:
    """Values that were given several times or with commas between them."""
    return [part.strip() for text in given or () for part in text.split(",") if part.strip()]


def _listing(faults: list[Fault]) -> str:
    said = [_sentence(fault) for fault in faults]
    return said[0] if len(said) == 1 else "\n".join(["The key cannot be made so:", *(f"  - {each}" for each in said)])


def _sentence(fault: Fault) -> str:
    option = fault.pointer if fault.pointer.startswith("--") else _OPTIONS[fault.pointer.split("/")[1]]
    meant = f" Did you mean {fault.suggestion}?" if fault.suggestion else ""
    shown = "" if fault.value is None else f" {fault.value[:64]!r}"
    # a rate says itself what it cannot read
    said = fault.message if fault.message.startswith("'") else f"{shown.strip()} {fault.message}".strip()
    return f"{option}: {said}.{meant}"


_OPTIONS = {
    "name": "NAME",
    "tenant": "--tenant",
    "scopes": "--scope",
    "models": "--model",
    "rates": "--rate",
    "expires": "--expires",
}
