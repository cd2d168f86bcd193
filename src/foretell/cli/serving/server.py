"""One server in this process: uvicorn, with our start, our stop and our signals."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.lifespan.on import LifespanOn

from foretell.cli.serving.address import BACKLOG, fault
from foretell.cli.serving.terminal import has_terminal
from foretell.errors import ArtifactError, ForetellError, StartFailed
from foretell.settings import Settings
from foretell.telemetry import sink
from foretell.wire.tested import lane_supported

APP = "foretell.asgi:app"
PROTOCOL = "foretell.wire.protocol:LaneProtocol"

OnReady = Callable[[Mapping[str, Any]], None]


def config_of(settings: Settings) -> uvicorn.Config:
    """The settings as uvicorn takes them."""
    return uvicorn.Config(
        APP,
        http=PROTOCOL if lane_supported() else "httptools",
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(settings.drain_s),
    )


class Lifespan(LifespanOn):
    """uvicorn's, which keeps why a start failed, and fails where there are models and none of them can be served."""

    failure: ForetellError | None = None

    async def startup(self) -> None:
        await super().startup()
        if self.should_exit:
            self.failure = self.failure or StartFailed("The application did not start.")
            return
        nothing = nothing_served(self.state)
        if nothing is not None:
            self.failure = nothing
            await self.shutdown()
            self.should_exit = True

    async def send(self, message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            known = getattr(self.config.loaded_app, "failure", None)
            self.failure = known or StartFailed(f"The application did not start:\n{message.get('message', '')}")
            message = {"type": message["type"]}
        await super().send(message)


class Server(uvicorn.Server):
    """Stops on SIGTERM and SIGINT after what was accepted has ended, and looks for models again on SIGHUP.

    ``on_ready`` is called with the lifespan's state, on a thread, once the socket listens.
    """

    def __init__(self, settings: Settings, on_ready: OnReady | None = None) -> None:
        super().__init__(config_of(settings))
        self._settings = settings
        self._on_ready = on_ready
        self._announced: asyncio.Future[None] | None = None
        self._rescan_wanted = False
        self._had_terminal = has_terminal()

    def serve_on(self, bound: socket.socket) -> None:
        """Serves until a signal stops it. Raises a ForetellError where it could not start."""
        # before the log is open and after it is closed, uvicorn's own lines must not reach standard error
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        try:
            self.run(sockets=[bound])
        except SystemExit:
            raise self._why() from None
        except OSError as error:
            raise fault(error, self._settings) from error

    def _why(self) -> ForetellError:
        failure = getattr(getattr(self, "lifespan", None), "failure", None)
        return failure or StartFailed("The application could not be imported.", hint="the lines above say why")

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        signal.signal(signal.SIGHUP, self.note_hang_up)
        if not self.config.loaded:
            self.config.load()
        self.config.lifespan_class = Lifespan
        await super()._serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except OSError:
            await self.lifespan.shutdown()
            raise
        loop = asyncio.get_running_loop()
        # in place of the application's own handler, which knows of no terminal
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        if self._rescan_wanted:
            self.hang_up()
        if self._on_ready is not None and not self.should_exit:
            # on a thread: what draws for people takes a moment to import, and the first request may be here already
            self._announced = loop.run_in_executor(None, self._on_ready, self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuses new work from this moment. A second SIGINT gives up on what was accepted."""
        if not self.started:
            leave()
        self.lifespan.state["services"].drain()
        super().handle_exit(sig, frame)
        # uvicorn would raise the signal again at the end; a stop that was asked for and went well exits with 0
        self._captured_signals.clear()

    def note_hang_up(self, _sig: int, _frame: FrameType | None) -> None:
        """A SIGHUP while the start is under way: looks again once it is done."""
        self._rescan_wanted = True

    def hang_up(self) -> None:
        """Looks for models again; but where the terminal it was started from is gone, stops."""
        if self._had_terminal and not has_terminal():
            self.handle_exit(signal.SIGHUP, None)
        else:
            self.lifespan.state["services"].reconciler.request_rescan()


def nothing_served(state: Mapping[str, Any]) -> ArtifactError | None:
    """Why there is nothing to serve although there are models; None where there is, or where no model is there yet."""
    catalog = state["services"].service.catalog
    failed = [entry for entry in catalog.entries if entry.reason is not None]
    if catalog.servables or not failed:
        return None
    reasons = [f"{entry.ref}: {entry.reason.detail}" for entry in failed]
    hint = failed[0].reason.hint
    if len(reasons) == 1:
        return ArtifactError(f"Nothing to serve. {reasons[0]}", hint=hint)
    return ArtifactError("Nothing to serve.\n" + "\n".join(f"  - {reason}" for reason in reasons), hint=hint)


def leave() -> None:
    """Ends a process that has accepted nothing yet. Models may be loading on threads, which cannot be told to end."""
    sink.stop_all()
    os._exit(0)
