"""A principal: who calls, as far as the server knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foretell.core.access.rates import Rate
from foretell.core.access.scopes import ADMIN, SCOPES, Scope

Kind = Literal["key", "token", "certificate", "anonymous"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls and what they may do.

    id          names the principal in logs, usage and audit: ``key:partner-x``, ``token:https://issuer|subject``,
                ``certificate:CN``, ``anonymous``; never the secret, and stable over rotations
    tenant      whose data it is: callers of one tenant may see each other's cached answers and jobs, others never
    scopes      what it may do; ``admin`` includes all, and is left out where there is a list of models: whoever may
                make keys could make one without a list
    models      the models it may use and see; None: all
    rates       what it may use up, each counted for this principal alone
    expires_s   seconds since the epoch after which it is no longer valid; None: never
    """

    id: str
    kind: Kind
    tenant: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    rates: tuple[Rate, ...] = ()
    expires_s: float | None = None
    _granted: frozenset[Scope] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.models is not None:
            object.__setattr__(self, "scopes", self.scopes - {ADMIN})
        object.__setattr__(self, "_granted", frozenset(SCOPES) if ADMIN in self.scopes else self.scopes)

    def has(self, scope: Scope) -> bool:
        """Whether ``scope`` is among those granted, or included in one."""
        return scope in self._granted

    def may_use(self, model: str) -> bool:
        """Whether it may use and see a model of this name."""
        return self.models is None or model in self.models


def anonymous(scopes: frozenset[Scope]) -> Principal:
    """A caller without a credential where some things are open to all."""
    return Principal("anonymous", "anonymous", "", scopes)
