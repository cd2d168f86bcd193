"""Authorisation as data: may this principal do this to that, and which rule says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foretell.core.access.principal import Principal
from foretell.core.access.scopes import Scope

Rule = Literal["public", "known", "scope", "scope_missing", "model_not_allowed", "credential_missing"]
Need = Scope | Literal["public", "known"]
"""A scope, or ``public``: nothing; or ``known``: to be somebody who may do anything here at all."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked, by what it needs. ``model``: what it is asked of; None where it is no model."""

    need: Need
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``allowed``, and the rule that decided it."""

    allowed: bool
    rule: Rule


def decide(actor: Principal, action: Action) -> Decision:
    """Whether ``actor`` may do ``action``. What no rule allows is not allowed."""
    need = action.need
    if need == "public":
        return Decision(True, "public")
    allowed = bool(actor.scopes) if need == "known" else actor.has(need)
    if not allowed:
        return Decision(False, "credential_missing" if actor.kind == "anonymous" else "scope_missing")
    if action.model is not None and not actor.may_use(action.model):
        return Decision(False, "model_not_allowed")
    return Decision(True, "known" if need == "known" else "scope")
