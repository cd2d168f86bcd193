"""Reading in a process of its own: for bodies that are large and not plain.

To parse and to explain them takes up to seconds for the largest, in calls that do not let go of the interpreter; on a
thread they would hold the event loop all the same. The process starts when it is first needed and ends when it has had
nothing to do for a while. It reads one body at a time.
"""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from foretell.codecs.base import Codec
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.values import Inputs, join
from foretell.errors import QueueFull, Unavailable
from foretell.inference.reading.frames import Ended, Header, error_of, inputs_of, receive, send
from foretell.settings_reading import without_settings

MAX_WAITING = 16
HANG_S = 60.0
IDLE_S = 60.0
COMMAND = (sys.executable, "-P", "-m", "foretell.inference.reading.child")

Frames = Iterator[tuple[dict[str, Any], bytearray]]
T = TypeVar("T")


class Aside:
    """One reading process, as the event loop sees it."""

    def __init__(self, command: tuple[str, ...] = COMMAND, hang_s: float = HANG_S, idle_s: float = IDLE_S) -> None:
        self._command = command
        self._hang_s = hang_s
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="foretell-reading")
        self._process: subprocess.Popen[bytes] | None = None
        self._retiring: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None

    @asynccontextmanager
    async def opened(
        self, codec: Codec, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]
    ) -> AsyncIterator[OpenedAside]:
        """The body, parsed. Raises as ``codec.parse`` does, QueueFull where many wait, Unavailable where it fails."""
        if self._waiting >= MAX_WAITING:
            raise QueueFull(
                f"{self._waiting} large bodies are waiting to be read and explained. Send fewer rows in one request, "
                "or rows as plain lists in JSON, which are read at once.",
            )
        self._waiting += 1
        try:
            async with self._turn:
                request = {
                    "op": "parse",
                    "codec": type(codec).__module__,
                    "many": many,
                    "limits": asdict(limits),
                    "parameters": dict(parameters),
                }
                yield OpenedAside(self, await self.ask(_version, request, body))
        finally:
            self._waiting -= 1
            self._retire_later()

    async def ask(self, read: Callable[[Frames], T], header: Header, body: bytes = b"") -> T:
        """What ``read`` makes, off the loop, of the frames that answer this one. Raises as ``opened``."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, read, header, body)

    def close(self) -> None:
        """Ends the process; what it is reading is lost."""
        self._closed = True
        if self._retiring is not None:
            self._retiring.cancel()
        if (process := self._process) is not None:
            process.kill()
        self._thread.submit(self._stop)
        self._thread.shutdown()

    def _retire_later(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
        if not self._closed:
            self._retiring = asyncio.get_running_loop().call_later(self._idle_s, self._thread.submit, self._stop)

    # -- on the thread -------------------------------------------------------------------------------------------------

    def _ask(self, read: Callable[[Frames], T], header: Header, body: bytes) -> T:
        process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the reading process has no pipes")
        try:
            send(process.stdin.fileno(), header, [body])
            return read(self._frames(process.stdout.fileno()))
        except (OSError, Ended, TimeoutError):
            self._stop()
            raise Unavailable(
                "The process that reads large bodies ended or took too long. Send the rows in several smaller requests."
            ) from None

    def _frames(self, descriptor: int) -> Frames:
        more = True
        while more:
            if not select.select([descriptor], [], [], self._hang_s)[0]:
                raise TimeoutError
            header, payload = receive(descriptor)
            if "error" in header:
                raise error_of(header)
            if "failed" in header:
                raise RuntimeError(f"the reading process failed: {header['failed']}")
            more = bool(header.get("more"))
            yield header, payload

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {**without_settings(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(  # noqa: S603  # this very Python, on a module of ours
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environ
        )
        self._process = process
        return process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:
                pass


class OpenedAside:
    """A body in the reading process's hands."""

    def __init__(self, aside: Aside, model_version: str | None) -> None:
        self._aside = aside
        self.model_version = model_version

    async def bind(self, signature: Signature, limits: BodyLimits, label: str) -> Inputs:
        """The rows as inputs; raises as ``core.validation.bind``."""
        request = {
            "op": "bind",
            "limits": asdict(limits),
            "signature": signature.to_document(),
            "label": label,
        }
        return await self._aside.ask(_inputs, request)


def _version(frames: Frames) -> str | None:
    [(header, _)] = frames
    version: str | None = header["version"]
    return version


def _inputs(frames: Frames) -> Inputs:
    return join([inputs_of(*frame) for frame in frames])
