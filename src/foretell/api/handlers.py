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
from foretell.errors import BodyTooLarge, MalformedRequest, MethodNotAllowed, RequestError, StorageFull

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
    settings = exchange.services.settings
    if status_of(error) == 500:
        cause = error.__cause__
        _log.error(
            error.instance_code,
            request_id=exchange.request_id,
            model=exchange.model,
            version=exchange.version,
            detail=error.detail,
            exc_info=cause if cause is None or settings.log.values else _WithoutWords(cause),
        )
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(allowed_methods(request.app.routes, request.scope))
    if isinstance(error, BodyTooLarge | StorageFull) and request.scope.get("http_version", "1.1").startswith("1"):
        # the rest of the body is not read, so the connection cannot be used again
        headers["connection"] = "close"
    show_values = settings.errors.show_values
    return problem_response(error, exchange.request_id, show_values=show_values, headers=headers)


class _WithoutWords(Exception):
    """What a model raised, for the log: where and which kind, without its message, which may hold feature values."""

    def __init__(self, error: BaseException) -> None:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        super().__init__(f"{kind} (its message may hold feature values; log.values = true shows it)")
        self.__traceback__ = error.__traceback__


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: paths that no route has."""
    if isinstance(error, HTTPException) and error.status_code == 404:
        return await _request_error(request, unknown_path(request.app.routes, request.scope["path"]))
    return await _request_error(request, MalformedRequest("The request cannot be read."))
