"""One server in this process: uvicorn, with our start, our stop and our signals."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.lifespan.on import LifespanOn

from foretell.cli.serving.address import BACKLOG, bound_what_waits, fault
from foretell.cli.serving.allocator import keep_freed
from foretell.cli.serving.certificate import facts_of, following
from foretell.cli.serving.terminal import has_terminal
from foretell.errors import ArtifactError, ForetellError, StartFailed
from foretell.security.posture import FACTS, Facts
from foretell.security.tls.context import FollowingContext
from foretell.security.tls.handshakes import HANDSHAKE_S
from foretell.settings import Settings
from foretell.telemetry import sink
from foretell.wire.tested import lane_supported

PROTOCOL = "foretell.wire.protocol:LaneProtocol"
FAREWELL_S = 2.0
"""How long a caller may take to answer that a connection ends; an idle one may never do so."""
LOOK_TICKS = 10
"""uvicorn has ten ticks a second."""
BUSY_S = 0.5
"""So much of a second with no file left is more than to turn callers away takes."""

OnReady = Callable[[Mapping[str, Any]], None]


def config_of(settings: Settings, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    """The settings as uvicorn takes them."""
    return uvicorn.Config(
        partial(_application, settings),
        factory=True,
        ssl_context_factory=None if tls is None else lambda _config, _make: tls,
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


def _application(settings: Settings) -> Any:
    from foretell.api.app import create_app
    from foretell.bootstrap import open_services

    return create_app(settings, open_services)


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

    ``on_ready`` is called with the lifespan's state, on a thread, once the socket listens. Certificates are looked at
    every second and on SIGHUP. Raises CertificateUnusable.
    """

    def __init__(self, settings: Settings, on_ready: OnReady | None = None) -> None:
        self._tls = following(settings)
        super().__init__(config_of(settings, self._tls))
        self._settings = settings
        self._looks: set[asyncio.Task[None]] = set()
        self._on_ready = on_ready
        self._announced: asyncio.Future[None] | None = None
        self._rescan_wanted = False
        self._had_terminal = has_terminal()
        self._doors: list[socket.socket] = []
        self._shut = False
        self._used_s = 0.0

    def serve_on(self, bound: socket.socket) -> None:
        """Serves until a signal stops it. Raises a ForetellError where it could not start."""
        # before the log is open and after it is closed, uvicorn's own lines must not reach standard error
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        keep_freed()
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
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self._doors = sockets or []
        try:
            await self._listen()
        except OSError:
            await self.lifespan.shutdown()
            raise
        self.started = True
        loop = asyncio.get_running_loop()
        # in place of the application's own handler, which knows of no terminal
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        if self._rescan_wanted:
            self.hang_up()
        if self._on_ready is not None and not self.should_exit:
            # on a thread: what draws for people takes a moment to import, and the first request may be here already
            self._announced = loop.run_in_executor(None, self._on_ready, self.lifespan.state)

    async def _listen(self) -> None:
        """As uvicorn does, with bounds on how many handshakes there are, and how long one and a farewell may take.

        It listens to copies, so that it can stop to while the system goes on holding who comes.
        """
        loop, config = asyncio.get_running_loop(), self.config
        state = self.lifespan.state
        encrypted = self._tls is not None
        if self._tls is not None:
            self._tls.handshakes.most = state["wire"].most_handshakes

        def protocol() -> asyncio.Protocol:
            made: Any = config.http_protocol_class
            return cast(asyncio.Protocol, made(config=config, server_state=self.server_state, app_state=state))

        self.servers = []
        for each in self._doors:
            state[FACTS] = partial(self._facts, each)
            each.setblocking(False)  # as its copy shall be
            bound_what_waits(each)
            server = await loop.create_server(
                protocol,
                sock=each.dup(),
                ssl=self._tls,
                backlog=config.backlog,
                ssl_handshake_timeout=HANDSHAKE_S if encrypted else None,
                ssl_shutdown_timeout=FAREWELL_S if encrypted else None,
            )
            self.servers.append(server)

    def _facts(self, bound: socket.socket) -> Facts:
        return facts_of(self._settings, bound, None if self._tls is None else self._tls.leaf)

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            self._look()
            await self._look_at_files()
        return await super().on_tick(counter)

    async def _look_at_files(self) -> None:
        """Listens to nobody while the loop goes round and round over a caller for whom there is no file.

        It mostly closes such connections at once, with a file it keeps for that, but another thread can take that one.
        """
        used_s = time.thread_time()
        busy, self._used_s = used_s - self._used_s > BUSY_S, used_s
        # to listen again takes files itself: they do not count, or it would listen and stop in turns
        files_left = self.lifespan.state["wire"].look_at_files(1 + (len(self._doors) if self._shut else 0))
        if busy and not (files_left or self._shut):
            self._shut = True
            for server in self.servers:
                server.close()
        elif files_left and self._shut and not self.should_exit:
            try:
                await self._listen()
            except OSError:  # the last one was taken meanwhile: the next second tells
                return
            self._shut = False

    def _look(self, *, asked: bool = False) -> None:
        """Has the certificates looked at, on a thread: their disk may be slow."""
        if self._tls is None or (self._looks and not asked):
            return
        task = asyncio.get_running_loop().create_task(self._take_up(self._tls, asked))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _take_up(self, tls: FollowingContext, asked: bool) -> None:
        if await asyncio.to_thread(tls.look, asked=asked):
            # who was let in by the issuers of before shows a certificate again, once what is under way has ended
            for connection in list(self.server_state.connections):
                connection.shutdown()

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
        """Looks for models and certificates again; but where the terminal it was started from is gone, stops."""
        if self._had_terminal and not has_terminal():
            self.handle_exit(signal.SIGHUP, None)
        else:
            self._look(asked=True)
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
