"""From the claims of a token to a principal: what an issuer's tokens have to say, and what they give. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import ADMIN, SCOPES, Scope
from foretell.core.access.token import TokenFault
from foretell.core.identity import name_fault

LEEWAY_S = 30.0
MAX_AGE_S = 86_400.0

_MAX_SUBJECT_CHARS = 255
_MAX_LISTED = 1000
_LATEST_S = 1 << 53
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")

Wanted = str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the tokens of one issuer must say, and what they give.

    audiences     a token must be for one of them
    leeway_s      how far clocks may differ
    max_age_s     how long after it was issued a token is taken at most, whatever it says itself
    scope_claim   where the scopes stand: text with spaces between them, or a list
    scopes        what each of the issuer's scopes gives here; without it those of our own names count, but ``admin``
    grants        scopes that every token of the issuer has
    tenant_claim  where the tenant stands; without it every subject is a tenant of its own
    models_claim  where the names of the models stand; without it all models may be used
    required      further claims, each with the value it must have or, as a list, hold, or one of several values
    """

    issuer: str
    audiences: frozenset[str]
    leeway_s: float = LEEWAY_S
    max_age_s: float = MAX_AGE_S
    scope_claim: str = "scope"
    scopes: Mapping[str, frozenset[Scope]] | None = None
    grants: frozenset[Scope] = frozenset()
    tenant_claim: str | None = None
    models_claim: str | None = None
    required: Mapping[str, Wanted] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()


def principal_of(claims: Mapping[str, Any], rules: Rules, now_s: float) -> Principal:
    """Who presents a token with these claims. Raises TokenFault where it may not be taken now."""
    expires_s = checked_times(claims, rules.leeway_s, rules.max_age_s, now_s)
    checked_audience(claims, rules)
    subject = claims.get("sub")
    if not (isinstance(subject, str) and 0 < len(subject) <= _MAX_SUBJECT_CHARS and subject.isprintable()):
        raise TokenFault("it names no subject that could be one")
    for name, wanted in rules.required.items():
        if not _fulfils(find(claims, name), wanted):
            raise TokenFault(f"its claim {name} is missing or another")
    tenant = f"{rules.issuer}|{subject}" if rules.tenant_claim is None else _tenant(claims, rules.tenant_claim)
    models = None if rules.models_claim is None else _models(claims, rules.models_claim)
    scopes = _scopes(claims, rules)
    return Principal(f"token:{rules.issuer}|{subject}", "token", tenant, scopes, models, rules.rates, expires_s)


def checked_times(claims: Mapping[str, Any], leeway_s: float, max_age_s: float, now_s: float) -> float:
    """When a token is over, in seconds since the epoch. Raises TokenFault where it is over, or has not begun."""
    expires_s, issued_s = _moment(claims, "exp"), _moment(claims, "iat")
    begins_s = _moment(claims, "nbf") if "nbf" in claims else issued_s
    if max(issued_s, begins_s) > now_s + leeway_s:
        raise TokenFault("it has not begun")
    ends_s = min(expires_s, issued_s + max_age_s) + leeway_s
    if now_s >= ends_s:
        raise TokenFault("it is over")
    return ends_s


def checked_audience(claims: Mapping[str, Any], rules: Rules) -> None:
    """Raises TokenFault for a token that is another's, or for others."""
    if claims.get("iss") != rules.issuer:
        raise TokenFault("it has another issuer")
    if not set(_texts(claims.get("aud"), separator=None)) & rules.audiences:
        raise TokenFault("it is for another audience")


def find(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path such as ``realm_access.roles``; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_S:
        raise TokenFault(f"its {name} is missing or no time")
    return float(value)


def _fulfils(value: Any, wanted: Wanted) -> bool:
    options = wanted if isinstance(wanted, tuple) else (wanted,)
    values = value if isinstance(value, list) else [value]
    # 1 is no true and true is no 1, which Python takes for the same
    return any(type(each) is type(option) and each == option for each in values for option in options)


def _tenant(claims: Mapping[str, Any], name: str) -> str:
    tenant = find(claims, name)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise TokenFault(f"its claim {name} names no tenant")
    return tenant


def _models(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    return frozenset(model for model in _texts(find(claims, name)) if not name_fault(model))


def _scopes(claims: Mapping[str, Any], rules: Rules) -> frozenset[Scope]:
    granted = set(rules.grants)
    own: dict[str, frozenset[Scope]] = {scope: frozenset((scope,)) for scope in SCOPES if scope != ADMIN}
    gives = own if rules.scopes is None else rules.scopes
    for name in _texts(find(claims, rules.scope_claim)):
        granted |= gives.get(name, frozenset())
    return frozenset(granted)


def _texts(value: Any, separator: str | None = " ") -> list[str]:
    """The texts of a list, or of one text; those of a ``separator`` between them."""
    if isinstance(value, str):
        return [value] if separator is None else [text for text in value.split(separator) if text]
    if isinstance(value, list) and len(value) <= _MAX_LISTED:
        return [text for text in value if isinstance(text, str)]
    return []
