"""``GET /api/v1/security``: how this server is secured, and which of its defaults are weakened."""

from __future__ import annotations

from starlette.requests import Request

from foretell.api.answers import Answer, document_answer
from foretell.api.middleware.context import exchange_of
from foretell.security.posture import FACTS, Facts, posture
from foretell.security.report import document


async def security(request: Request) -> Answer:
    """The posture of the worker that answers. Under another ASGI server nobody here knows what it listens on."""
    settings = exchange_of(request.scope).services.settings
    known = request.scope.get("state", {}).get(FACTS)
    facts = Facts(None) if known is None else known()
    return document_answer(document(settings, facts, posture(settings, facts)))
