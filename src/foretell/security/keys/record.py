"""A key as it is kept: everything but the secret."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import SCOPES, Scope
from foretell.core.moments import timestamp

State = Literal["active", "replaced", "expired", "revoked"]
COLUMNS = (
    "id, name, tenant, scopes, models, rates, created_s, expires_s, revoked_s, used_s, replaced_by, digest, revision"
)
_REMEMBERED = 1024
SELECT = f"SELECT {COLUMNS} FROM keys "  # noqa: S608  # columns of our own


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key. Times are seconds since the epoch; ``used_s`` is true to about a minute."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    rates: tuple[Rate, ...]
    created_s: float
    expires_s: float | None
    revoked_s: float | None
    used_s: float | None
    replaced_by: str | None
    digest: bytes
    revision: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> KeyRecord:
        """From a row of ``COLUMNS``."""
        id_, name, tenant, scopes, models, rates, created, expires, revoked, used, by, digest, revision = row
        return cls(
            id_,
            name,
            tenant,
            _scopes(scopes),
            None if models is None else _models(models),
            _rates(rates),
            created,
            expires,
            revoked,
            used,
            by,
            bytes.fromhex(digest),
            revision,
        )

    def state(self, now_s: float) -> State:
        """Whether it can be used. One that was replaced by a rotation can, until its grace has passed."""
        if self.revoked_s is not None:
            return "revoked"
        if self.expires_s is not None and now_s >= self.expires_s:
            return "expired"
        return "active" if self.replaced_by is None else "replaced"

    @property
    def principal(self) -> Principal:
        """Who presents it; the same for every key of the name."""
        return Principal(f"key:{self.name}", "key", self.tenant, self.scopes, self.models, self.rates, self.expires_s)

    def document(self, now_s: float) -> dict[str, Any]:
        """For people and programs, as JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "tenant": self.tenant,
            "state": self.state(now_s),
            "scopes": [scope for scope in SCOPES if scope in self.scopes],
            "models": None if self.models is None else sorted(self.models),
            "rates": [str(rate) for rate in self.rates],
            "created": _moment(self.created_s),
            "expires": _moment(self.expires_s),
            "revoked": _moment(self.revoked_s),
            "last_used": _moment(self.used_s),
            "replaced_by": self.replaced_by,
        }


# thousands of keys have but a few of each between them


@lru_cache(_REMEMBERED)
def _scopes(text: str) -> frozenset[Scope]:
    # a scope that a later version knew gives nothing here
    given = json.loads(text)
    return frozenset(scope for scope in SCOPES if scope in given)


@lru_cache(_REMEMBERED)
def _models(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))


@lru_cache(_REMEMBERED)
def _rates(text: str) -> tuple[Rate, ...]:
    return tuple(Rate.parse(each) for each in json.loads(text))


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
