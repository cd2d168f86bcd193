"""What a server says of its security: one event when it starts, and the document of ``GET /api/v1/security``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foretell.core.weaknesses import Weakness
from foretell.security.posture import Facts
from foretell.settings import Settings

MIB = 1024 * 1024


def summary(settings: Settings, facts: Facts, weaknesses: Sequence[Weakness]) -> dict[str, Any]:
    """The facts of one start-up line, as short texts by name."""
    return {
        "bind": facts.bind,
        "tls": _tls(settings, facts),
        "client_certificates": settings.tls.client_certificate if settings.tls.client_ca else "not asked for",
        "proxies": ", ".join(settings.proxy.trusted) or "none",
        "auth": settings.auth.mode,
        "trust": "data only" if not settings.trust.pickle else f"data; code of {', '.join(settings.trust.pickle)}",
        "limits": _limits(settings),
        "weakened": " ".join(_code(weakness, settings) for weakness in weaknesses) or "nothing",
    }


def document(settings: Settings, facts: Facts, weaknesses: Sequence[Weakness]) -> dict[str, Any]:
    """The same, and each weakened default in full."""
    certificate = facts.leaf and {
        "names": list(facts.leaf.names),
        "expires": facts.leaf.expires.isoformat().replace("+00:00", "Z"),
        "sha256": facts.leaf.fingerprint,
        "self_signed": facts.leaf.self_signed,
    }
    weakened = [
        {
            "code": weakness.code,
            "where": weakness.where,
            "detail": weakness.sentence,
            "fix": weakness.fix,
            "accepted": weakness.code in settings.accept_risk,
        }
        for weakness in weaknesses
    ]
    said = {name: text for name, text in summary(settings, facts, weaknesses).items() if name != "weakened"}
    return {**said, "certificate": certificate, "weakened": weakened}


def _tls(settings: Settings, facts: Facts) -> str:
    if facts.address is None:
        return facts.bind
    if not settings.tls.enabled or facts.leaf is None:
        return "off"
    kind = "self-signed" if settings.tls.self_signed else "certificate"
    return f"1.2 and 1.3, {kind} until {facts.leaf.expires:%Y-%m-%d}"


def _limits(settings: Settings) -> str:
    limits = settings.limits
    return (
        f"body {limits.max_body_bytes / MIB:g} MiB, batch {limits.max_batch_rows} rows, "
        f"request {limits.timeout_s:g} s, streams {limits.max_streams}"
    )


def _code(weakness: Weakness, settings: Settings) -> str:
    return f"{weakness.code} (accepted)" if weakness.code in settings.accept_risk else weakness.code
