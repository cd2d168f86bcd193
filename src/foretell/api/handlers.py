"""Exceptions become answers here, and nowhere else."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from foretell.api.middleware.context import exchange_of
from foretell.api.problems import problem_response, status_of
from foretell.api.routes import allowed_methods, unknown_path
from foretell.errors import BodyTooLarge, MalformedRequest, MethodNotAllowed, RequestError

_log = structlog.get_logger("foretell.api")


def install_handlers(app: FastAPI) -> None:
    """Gives the application its answers to errors."""
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_exception)


async def _request_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    exchange = exchange_of(request.scope)
    exchange.code = error.instance_code
    if status_of(error) == 500:
        _log.error(
            error.instance_code,
            request_id=exchange.request_id,
            model=exchange.model,
            version=exchange.version,
            detail=error.detail,
            exc_info=error.__cause__,
        )
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(allowed_methods(request.app.routes, request.scope))
    if isinstance(error, BodyTooLarge) and request.scope.get("http_version", "1.1").startswith("1"):
        # the rest of the body is not read, so the connection cannot be used again
        headers["connection"] = "close"
    show_values = exchange.services.settings.errors.show_values
    return problem_response(error, exchange.request_id, show_values=show_values, headers=headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: paths that no route has."""
    if isinstance(error, HTTPException) and error.status_code == 404:
        return await _request_error(request, unknown_path(request.app.routes, request.scope["path"]))
    return await _request_error(request, MalformedRequest("The request cannot be read."))
