"""The scopes: what a principal may be allowed to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Scope = Literal["predict", "jobs", "models:read", "models:write", "metrics", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN: Scope = "admin"
"""Includes every other scope."""

DESCRIPTIONS: dict[Scope, str] = {
    "predict": "Ask for predictions: single, batch and stream.",
    "jobs": "Submit jobs and read their results.",
    "models:read": "See which models and versions there are, and their signatures.",
    "models:write": "Add, switch and remove versions.",
    "metrics": "Read metrics.",
    "admin": "Everything, and the keys, the usage and the audit trail.",
}


def unknown_scopes(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are no scope, in order."""
    return [name for name in names if name not in SCOPES]
