"""Authorisation as data: may this principal do this to that, and which rule says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foretell.core.access.principal import Principal
from foretell.core.access.scopes import Scope

Rule = Literal["public", "scope", "scope_missing", "model_not_allowed", "credential_missing"]


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked. ``scope`` None: open to everybody. ``model``: what it is asked of; None where it is no model."""

    scope: Scope | None
    model: str | None = None


PUBLIC = Action(None)


@dataclass(frozen=True, slots=True)
class Decision:
    """``allowed``, and the rule that decided it."""

    allowed: bool
    rule: Rule


def decide(actor: Principal, action: Action) -> Decision:
    """Whether ``actor`` may do ``action``. What no rule allows is not allowed."""
    if action.scope is None:
        return Decision(True, "public")
    if not actor.has(action.scope):
        return Decision(False, "credential_missing" if actor.kind == "anonymous" else "scope_missing")
    if action.model is not None and not actor.may_use(action.model):
        return Decision(False, "model_not_allowed")
    return Decision(True, "scope")
