"""Which limits hold for a request, and what each of them counts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from foretell.core.access.principal import Principal
from foretell.core.access.rates import UNITS, Rate

Kind = Literal["key", "tenant", "model", "address", "failures"]


class Bucket:
    """What one rate counts: everything of one unit that one key, tenant, model or address uses.

    A rate whose count was changed goes on with what was counted before. ``place`` is where a table last held it.
    """

    __slots__ = ("digest", "kind", "name", "place", "rate", "unit")

    def __init__(self, kind: Kind, name: str, rate: Rate) -> None:
        self.kind = kind
        self.name = name
        self.rate = rate
        self.unit = UNITS.index(rate.unit)
        text = "\0".join((kind, name, rate.unit, str(rate.period_s)))
        self.digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.place = -1

    @property
    def of_addresses(self) -> bool:
        """Whether anybody can make as many of them as there are addresses."""
        return self.kind in ("address", "failures")


@dataclass(frozen=True)
class Policy:
    """The limits of a server. ``key``: each key, token and certificate, besides its own; ``model``: by name, for all
    callers together; ``address``: each address that sends no credential, but for those of this machine.
    """

    key: tuple[Rate, ...] = ()
    tenant: tuple[Rate, ...] = ()
    model: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)
    address: tuple[Rate, ...] = ()

    def buckets(self, principal: Principal, address: str, model: str | None) -> list[Bucket]:
        """Everything a request of this caller counts in. Of rates that count the same the strictest holds."""
        found: list[Bucket] = []
        if principal.kind == "anonymous":
            if self.address and address:
                found += _buckets("address", address, self.address)
        else:
            found += _buckets("key", principal.id, (*principal.rates, *self.key))
            if principal.tenant:
                found += _buckets("tenant", principal.tenant, self.tenant)
        if model is not None:
            found += _buckets("model", model, self.model.get(model, ()))
        return found


def _buckets(kind: Kind, name: str, rates: Iterable[Rate]) -> Sequence[Bucket]:
    strictest: dict[tuple[str, int], Rate] = {}
    for rate in rates:
        counts = rate.unit, rate.period_s
        if counts not in strictest or rate.count < strictest[counts].count:
            strictest[counts] = rate
    return [Bucket(kind, name, rate) for rate in strictest.values()]
