"""Starting and not starting: the lifespan, and ``foretell.asgi`` as servers import it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from foretell.api.app import create_app
from foretell.errors import OperatorError
from foretell.settings import Settings


def lifespan_of(open_services: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages that an application sends over its lifespan, and the state it leaves."""
    state: dict[str, Any] = {}
    sent: list[dict[str, Any]] = []
    coming = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

    async def receive() -> Any:
        return coming.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    app = create_app(Settings(), open_services)
    asyncio.run(app({"type": "lifespan", "state": state, "asgi": {"version": "3.0"}}, receive, send))
    return sent, state


def test_a_start_that_cannot_be_is_told_in_one_line() -> None:
    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Any]:
        raise OperatorError("No models to serve.")
        yield

    sent, _ = lifespan_of(open_services)
    assert sent == [{"type": "lifespan.startup.failed", "message": "Cannot run: No models to serve."}]


def test_a_fault_of_ours_at_the_start_keeps_its_traceback() -> None:
    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Any]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        lifespan_of(open_services)


def test_services_are_opened_before_the_first_request_and_closed_after_the_last() -> None:
    happened: list[str] = []

    class Services:
        lane, wire = "the lane", "the wire"

    services = Services()

    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Any]:
        happened.append("open")
        try:
            yield services
        finally:
            happened.append("closed")

    sent, state = lifespan_of(open_services)
    assert happened == ["open", "closed"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert state == {"services": services, "lane": "the lane", "wire": "the wire"}


def test_an_error_at_the_end_that_is_none_of_the_start_is_not_hidden() -> None:
    class Services:
        lane = wire = None

    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Any]:
        yield Services()
        raise OperatorError("The log cannot be closed.")

    with pytest.raises(OperatorError, match="closed"):
        lifespan_of(open_services)


def test_the_document_can_be_made_before_the_start() -> None:
    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Any]:
        yield None

    assert "/predict" in create_app(Settings(), open_services).openapi()["paths"]


@pytest.mark.parametrize("command", [["-c", "import foretell.asgi"], ["-m", "uvicorn", "foretell.asgi:app"]])
def test_settings_that_cannot_be_are_one_line_and_exit_code_3(command: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, "FORETELL_PORT": "many"}
    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 3, run.stderr
    assert "Traceback" not in run.stderr
    assert "FORETELL_PORT" in run.stderr
