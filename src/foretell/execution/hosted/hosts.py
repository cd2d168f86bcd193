"""A web worker's side of hosting: who supervises, and what is known of the hosts of each version it wants."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from foretell.errors import ArtifactError, LoadFailed, OperatorError
from foretell.execution.hosted.breaker import Cause
from foretell.execution.hosted.election import Election
from foretell.execution.hosted.frames import FrameError, FrameReader, pack
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.status import Flight
from foretell.execution.hosted.supervisor import SOCKET_NAME

RETRY_S = 0.05
RETURN_S = 1.0
TELL_S = 5.0
_MESSAGE_BYTES = 16 * 1024 * 1024
_READ_BYTES = 65_536
_ENDS_KEPT = 64

_log = structlog.get_logger("foretell.hosts")


class Follower(Protocol):
    """Whoever wants to know what becomes of a version's hosts. Called on the event loop."""

    def hosts_changed(self) -> None: ...

    def host_died(self, number: int, cause: Cause, flights: Sequence[Flight]) -> None: ...

    def supervisor_lost(self) -> None: ...


class Lease:
    """A version that is wanted. ``replicas``: the sockets of the hosts that answer, by number.

    A version may be leased more than once in a process: one may be on its way out while it is loaded anew.
    """

    def __init__(self, hosts: Hosts, spec: HostSpec) -> None:
        self._hosts = hosts
        self.spec = spec
        self.replicas: dict[int, str] = {}
        self.described: Mapping[str, Any] | None = None
        self.reason: Mapping[str, Any] | None = None
        self._down_until_s = 0.0
        self.deaths = 0
        self.follower: Follower | None = None
        self.ends: dict[int, Cause] = {}
        """How the last hosts that are gone came to their end."""
        self._settled = asyncio.Event()

    @property
    def down_s(self) -> int:
        """Seconds until the next start of a host, where none answers and none is starting."""
        return max(0, math.ceil(self._down_until_s - time.monotonic())) if self._down_until_s else 0

    async def ready(self) -> Mapping[str, Any]:
        """What the host says of its model. Raises LoadFailed where it cannot be loaded."""
        await self._settled.wait()
        if self.described is None:
            raise _fault(self.reason or {})
        return self.described

    def wanted(self) -> dict[str, Any]:
        """What the supervisor is told. What was ready once is tried again for as long as it takes."""
        return {"want": self.spec.to_document(), "described": self.described}

    def condemn(self, number: int) -> None:
        """A host answered what cannot be: it is to be ended."""
        self._hosts.tell({"condemn": self.spec.key, "number": number})

    def release(self) -> None:
        """Wants it no more."""
        self._hosts.forget(self)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Takes in what the supervisor says."""
        self.replicas = {int(number): str(path) for number, path in message["replicas"]}
        self.described = self.described if message["described"] is None else message["described"]
        self.reason = message["reason"]
        self._down_until_s = time.monotonic() + int(message["down_s"]) if message["down_s"] else 0.0
        if (self.described is not None and self.replicas) or self.reason is not None:
            self._settled.set()
        died = message.get("died")
        if died is not None:
            self._ended(int(died["number"]), died["cause"])
            self.deaths += not died["orderly"]
        if self.follower is not None:
            if died is not None:
                flights = [(int(client), int(frame)) for client, frame in died["flights"]]
                self.follower.host_died(int(died["number"]), died["cause"], flights)
            self.follower.hosts_changed()

    def lose(self) -> None:
        """The supervisor has gone, and its hosts with it."""
        for number in self.replicas:
            self._ended(number, "killed")
        self.replicas = {}
        self._down_until_s = 0.0
        if self.follower is not None:
            self.follower.supervisor_lost()
            self.follower.hosts_changed()

    def _ended(self, number: int, cause: Cause) -> None:
        self.ends[number] = cause
        if len(self.ends) > _ENDS_KEPT:
            self.ends.pop(next(iter(self.ends)))


def _fault(reason: Mapping[str, Any]) -> ArtifactError:
    """What a host said of why it cannot load, as the error that it was there."""
    kinds = {kind.code: kind for kind in ArtifactError.__subclasses__()}
    kind = kinds.get(str(reason.get("code")), LoadFailed)
    hint = reason.get("hint")
    detail = str(reason.get("detail", "its host gave no reason"))
    return kind(detail, hint=None if hint is None else str(hint)[:500])


class Hosts:
    """Connects to the supervisor in ``folder`` when the first version is wanted; becomes it where there is none."""

    def __init__(self, folder: Path, *, show_output: bool = False) -> None:
        self.client = secrets.randbits(63)
        self._folder = folder
        self._leases: dict[str, list[Lease]] = {}
        self._election = Election(folder, show_output=show_output)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def want(self, spec: HostSpec) -> Lease:
        """A lease on the version's hosts, which are started where they are not running yet."""
        lease = Lease(self, spec)
        await self._connect()
        self._leases.setdefault(spec.key, []).append(lease)
        self.tell(lease.wanted())
        return lease

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends a message; where the supervisor has gone, its successor is told what is wanted anyway."""
        if self._writer is not None:
            self._writer.write(pack(message))

    def forget(self, lease: Lease) -> None:
        """Tells the supervisor when it was the last. One that was forgotten before is no other's business."""
        leases = self._leases.get(lease.spec.key, [])
        if lease in leases:
            leases.remove(lease)
            if not leases:
                del self._leases[lease.spec.key]
                self.tell({"release": lease.spec.key})

    async def close(self) -> None:
        """Ends the connection, and the hosts where this process supervises them."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        await asyncio.to_thread(self._election.close)

    async def _connect(self) -> None:
        async with self._connecting:
            if self._writer is not None:
                return
            told_at_s = time.monotonic() + TELL_S
            while True:
                self._election.stand()
                try:
                    reader, self._writer = await asyncio.open_unix_connection(str(self._folder / SOCKET_NAME))
                    break
                except OSError:  # somebody else was elected this instant, and is about to listen
                    await asyncio.sleep(RETRY_S)
                if time.monotonic() > told_at_s:
                    told_at_s += TELL_S
                    _log.warning("supervisor_missing", folder=str(self._folder), detail="holds the lock, but is silent")
            self._reading = asyncio.create_task(self._read(reader), name="hosts")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader(_MESSAGE_BYTES, 0)
        try:
            while data := await reader.read(_READ_BYTES):
                frames.feed(data)
                while (frame := frames.next()) is not None:
                    for lease in list(self._leases.get(frame[0].get("key", ""), ())):
                        lease.hear(frame[0])
        except (OSError, FrameError) as error:
            _log.warning("supervisor_lost", error=type(error).__name__)
        except Exception as error:  # a fault of ours: nothing else would listen to the supervisor from here on
            _log.exception("supervisor_lost", error=type(error).__name__)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        await self._return()

    async def _return(self) -> None:
        """The supervisor has gone, and its hosts with it: asks its successor for the same."""
        for lease in self._every():
            lease.lose()
        while True:
            try:
                await self._connect()
                break
            except (OSError, OperatorError) as error:  # no room or no descriptor left, which may pass
                _log.warning("supervisor_missing", folder=str(self._folder), detail=str(error))
                await asyncio.sleep(RETURN_S)
        for lease in self._every():
            self.tell(lease.wanted())

    def _every(self) -> list[Lease]:
        return [lease for leases in self._leases.values() for lease in leases]
