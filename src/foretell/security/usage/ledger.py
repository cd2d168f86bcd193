"""The ledger in the database: amounts per day, principal, tenant, model and unit, which every worker adds to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from foretell.core.access.rates import UNITS
from foretell.state.database import Database

_EPOCH = date(1970, 1, 1).toordinal()
_ADD = (
    "INSERT INTO usage (day, principal, tenant, model, unit, amount)"
    " VALUES (:day, :principal, :tenant, :model, :unit, :amount)"
    " ON CONFLICT (day, principal, tenant, model, unit) DO UPDATE SET amount = usage.amount + excluded.amount"
)
_WRITTEN = (
    "INSERT INTO usage_writers (writer, written, day) VALUES (:writer, :number, :day)"
    " ON CONFLICT (writer) DO UPDATE SET written = excluded.written, day = excluded.day"
    " WHERE usage_writers.written < excluded.written"
)
_FORGET = "DELETE FROM usage_writers WHERE day < :before"
_REMEMBERED_DAYS = 60
_READ = (
    "SELECT day, principal, tenant, model, unit, amount FROM usage"
    " WHERE day >= :since AND day <= :until"
    " AND (:key = '' OR principal = :key OR principal = 'key:' || :key) AND (:model = '' OR model = :model)"
    " ORDER BY day, principal, tenant, model, unit"
)
_DAYS = "SELECT DISTINCT day FROM usage WHERE day >= :since AND day <= :until ORDER BY day"


class Line(NamedTuple):
    """What is counted apart from everything else. ``day`` counts from 1970-01-01, in UTC."""

    day: int
    principal: str
    tenant: str
    model: str


Counted = Mapping[Line, Sequence[int]]
"""Amounts in the order of ``UNITS``."""


class Batch(NamedTuple):
    """What is added in one go. ``writer`` counts its batches by ``number``, from 1, one after the other; ``day`` is the
    one on which this was made.

    Whoever does not hear whether a batch was added adds the same one again: it counts once.
    """

    writer: str
    number: int
    day: int
    counted: Counted


@dataclass(frozen=True, slots=True)
class Entry:
    """What one principal used of one model on one day, ``2026-11-20`` in UTC. ``model`` is empty where it was none."""

    day: str
    principal: str
    tenant: str
    model: str
    amounts: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON: every unit has a number."""
        known: dict[str, Any] = {unit: self.amounts.get(unit, 0) for unit in UNITS}
        of = {"day": self.day, "principal": self.principal, "tenant": self.tenant, "model": self.model}
        return {**of, **known, **self.amounts}


class Ledger:
    """May be used from any thread. Every fault of the database is a StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, batch: Batch) -> None:
        """Adds everything, or nothing; nothing where it was added before."""
        rows = [
            {
                "day": day_text(line.day),
                "principal": line.principal[:1024],
                "tenant": line.tenant[:512],
                "model": line.model[:128],
                "unit": unit,
                "amount": amount,
            }
            # in one order, so that no two workers wait for each other
            for line, amounts in sorted(batch.counted.items())
            for unit, amount in zip(UNITS, amounts, strict=True)
            if amount
        ]
        if batch.number == 1:  # others may have been killed, long ago
            self._database.run(_FORGET, [{"before": day_text(batch.day - _REMEMBERED_DAYS)}])
        if rows:
            written = {"writer": batch.writer, "number": batch.number, "day": day_text(batch.day)}
            self._database.run(_ADD, rows, once=(_WRITTEN, written))

    def entries(self, since: str, until: str, key: str = "", model: str = "") -> Iterator[Entry]:
        """From day to day, both in, the oldest first; of one principal (a key's name will do) or model where named.

        Read day by day, so that any number of days takes no more memory than the busiest.
        """
        for (day,) in self._database.read(_DAYS, since=since, until=until):
            found: Entry | None = None
            for day_of, principal, tenant, name, unit, amount in self._database.read(
                _READ, since=day, until=day, key=key, model=model
            ):
                of = (day_of, principal, tenant, name)
                if found is None or of != (found.day, found.principal, found.tenant, found.model):
                    if found is not None:
                        yield found
                    found = Entry(*of)
                found.amounts[unit] = int(amount)
            if found is not None:
                yield found


def day_text(day: int) -> str:
    """``2026-11-20`` of the days since 1970-01-01."""
    return date.fromordinal(_EPOCH + day).isoformat()


def day_of(moment_s: float) -> str:
    """The day in UTC of seconds since the epoch."""
    return datetime.fromtimestamp(moment_s, UTC).date().isoformat()
