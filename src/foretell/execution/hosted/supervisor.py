"""Supervises the hosts of a server: starts them when web workers want them, watches, kills, restarts, lets go.

One thread with one selector, in one process of the server: the parent of the workers, or whoever holds the lock (see
``election``). Web workers speak to it on a Unix socket; as long as one that wants a version stays connected, the
version is hosted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from foretell.errors import OperatorError
from foretell.execution.hosted.breaker import Cause
from foretell.execution.hosted.fleet import Fleet
from foretell.execution.hosted.frames import FrameError, FrameReader, pack
from foretell.execution.hosted.place import LEFT_SUFFIXES
from foretell.execution.hosted.replica import OUTPUT_CHARS, Replica
from foretell.execution.hosted.spec import HostSpec

SOCKET_NAME = "supervisor.sock"
LOOK_S = 0.05
STOP_S = 5.0
_MESSAGE_BYTES = 16 * 1024 * 1024
_READ_BYTES = 65_536

_log = structlog.get_logger("foretell.hosts")


class Worker:
    """The connection of one web worker and what it wants."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = FrameReader(_MESSAGE_BYTES, 0)
        self.wants: set[str] = set()


class Supervisor:
    """``start`` it, and ``stop`` it: then every host is ended. ``on_end`` is called when it has, also where it failed.

    Raises OperatorError where no socket can be made in the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        show_output: bool = False,
        environ: Mapping[str, str] | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._show_output = show_output
        self._environ = dict(os.environ if environ is None else environ)
        self._on_end = on_end
        self._fleets: dict[str, Fleet] = {}
        self._workers: set[Worker] = set()
        self._listener = self._listen()
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="foretell-hosts", daemon=True)
        # no successor's host is to be taken for one of this supervisor's
        self._numbers = secrets.randbelow(800_000_000)

    @property
    def running(self) -> bool:
        """Whether it still supervises."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends every host. Returns when they are gone. Once only, also for one that has failed."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._wake_w, b"x")
        self._thread.join(STOP_S + 1.0)
        os.close(self._wake_w)  # not by the thread, which may have ended long before this was written to

    def _listen(self) -> socket.socket:
        path = self._folder / SOCKET_NAME
        for left in self._folder.iterdir():  # by one that died: whoever holds the lock is alone here
            if left.suffix in LEFT_SUFFIXES:
                left.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise OperatorError(
                f"No socket for hosted models can be made at {path}: {error}.",
                hint="Name a shorter folder with room: execution.folder, or TMPDIR.",
            ) from error
        listener.listen(128)
        listener.setblocking(False)
        return listener

    # -- the loop --

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_r, selectors.EVENT_READ, self._note_stop)
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._patience_s()):
                    # what came before in this turn may have ended it, and something new have its number
                    if self._selector.get_map().get(key.fd) is key:
                        key.data()
                self._look()
        except Exception as error:
            _log.exception("supervisor_failed", error=type(error).__name__)
        finally:
            try:
                self._end_all()
            finally:
                self._on_end()

    def _patience_s(self) -> float | None:
        return LOOK_S if any(fleet.busy for fleet in self._fleets.values()) else None

    def _note_stop(self) -> None:
        self._stopping = True

    def _look(self) -> None:
        """What is due by the clock: limits, restarts, output."""
        now_s = time.monotonic()
        for fleet in list(self._fleets.values()):
            for replica in fleet.alive:
                if replica.overdue(now_s) and replica.doomed is None:
                    self._kill(replica, "killed")
                cause = replica.over_limit(now_s)
                if cause is not None and replica.doomed is None:
                    self._kill(replica, cause)
                self._drain(replica)
            for replica in fleet.overgrown():
                replica.leave()  # its successor is on the way, and calls that wait for it are better than calls killed
                self._announce(fleet)
            for replica in fleet.wear_out():
                _log.info("host_worn", **_named(replica), memory_mib=replica.memory_bytes // 2**20)
            for _ in range(fleet.due(now_s)):
                self._start(fleet)

    # -- web workers --

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # it went away again
            return
        except OSError as error:  # no descriptor left
            _log.warning("worker_not_heard", error=type(error).__name__)
            time.sleep(LOOK_S)
            return
        connection.setblocking(False)
        worker = Worker(connection)
        self._workers.add(worker)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._attend(worker))

    def _attend(self, worker: Worker) -> None:
        try:
            data = worker.connection.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            worker.frames.feed(data)
            while worker in self._workers and (frame := worker.frames.next()) is not None:
                self._obey(worker, frame[0])
        except BlockingIOError:
            return
        except (OSError, FrameError, KeyError, TypeError, ValueError):
            self._forget(worker)

    def _obey(self, worker: Worker, message: Mapping[str, Any]) -> None:
        if "want" in message:
            spec = HostSpec.from_document(message["want"])
            worker.wants.add(spec.key)
            fleet = self._fleets.get(spec.key)
            if fleet is None:
                fleet = self._fleets[spec.key] = Fleet(spec, described=message.get("described"))
            elif fleet.unwanted:  # why it could not be loaded then says nothing of now
                fleet.reason = None
            fleet.unwanted = False
            self._say(worker, fleet.document())
        elif "release" in message:
            worker.wants.discard(message["release"])
            self._let_go()
        elif "condemn" in message:
            fleet = self._fleets.get(message["condemn"])
            for replica in fleet.alive if fleet is not None else ():
                if replica.doomed is None and replica.number == message["number"]:
                    self._kill(replica, "garbage")

    def _forget(self, worker: Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.discard(worker)
        self._selector.unregister(worker.connection)
        worker.connection.close()
        self._let_go()

    def _let_go(self) -> None:
        """Ends what nobody wants any more."""
        wanted = {key for worker in self._workers for key in worker.wants}
        for key, fleet in self._fleets.items():
            if key not in wanted:
                fleet.unwanted = True
                for replica in fleet.alive:
                    replica.leave()
        self._sweep()

    def _sweep(self) -> None:
        for key in [key for key, fleet in self._fleets.items() if fleet.unwanted and not fleet.alive]:
            del self._fleets[key]

    def _say(self, worker: Worker, message: Mapping[str, Any]) -> None:
        """A worker that does not read what it is told is let go of; it comes back and asks anew."""
        try:
            worker.connection.sendall(pack(message))
        except OSError:
            self._forget(worker)

    def _announce(self, fleet: Fleet, more: Mapping[str, Any] | None = None) -> None:
        message = {**fleet.document(), **(more or {})}
        for worker in [worker for worker in self._workers if fleet.spec.key in worker.wants]:
            self._say(worker, message)

    # -- hosts --

    def _start(self, fleet: Fleet) -> None:
        self._numbers += 1
        try:
            replica = Replica(fleet.spec, self._folder, self._numbers, self._environ)
        except (OSError, ValueError) as error:
            fleet.failed_to_start(_why_not(error), time.monotonic())
            self._announce(fleet)
            return
        fleet.alive.append(replica)
        self._selector.register(replica.said_fd, selectors.EVENT_READ, lambda: self._hear(fleet, replica))
        self._selector.register(replica.pid_fd, selectors.EVENT_READ, lambda: self._bury(fleet, replica))

    def _hear(self, fleet: Fleet, replica: Replica) -> None:
        replica.hear()
        if replica.ready is None and replica.failure is None and replica.doomed is None and not replica.mute:
            return
        self._selector.unregister(replica.said_fd)
        if replica.failure is not None:
            replica.kill("failed_to_load")  # a thread that the model began may keep it for ever
        if replica.ready is not None:
            fleet.became_ready(replica)
            _log.info("host_ready", **_named(replica), start_s=round(replica.ready_s - replica.started_s, 3))
            self._announce(fleet)

    def _bury(self, fleet: Fleet, replica: Replica) -> None:
        for descriptor in (replica.said_fd, replica.pid_fd):
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
        if replica.failure is None and replica.ready is None:
            replica.hear()  # its last words may still lie in the pipe
        self._drain(replica)
        cause, how, flights = replica.buried()
        orderly = replica.left or fleet.unwanted
        now_s = time.monotonic()
        fleet.lost(replica, cause, now_s)
        if orderly:
            _log.info("host_ended", **_named(replica))
        else:
            _log.error("host_died", **_named(replica), cause=cause, ended=how, restart_s=round(fleet.pause_s(now_s), 3))
        died = {"number": replica.number, "cause": cause, "flights": flights, "orderly": orderly}
        self._announce(fleet, {"died": died})
        self._sweep()

    def _kill(self, replica: Replica, cause: Cause) -> None:
        _log.warning("host_killed", **_named(replica), cause=cause)
        replica.kill(cause)

    def _drain(self, replica: Replica) -> None:
        """Logs a little of what the model prints. Once it answers, that may hold callers' values."""
        printed = replica.output()
        if printed and (replica.ready is None or self._show_output):
            text = printed[: 4 * OUTPUT_CHARS].decode(errors="replace").strip()[:OUTPUT_CHARS]
            _log.info("host_output", **_named(replica), bytes=len(printed), text=text)

    def _end_all(self) -> None:
        replicas = [replica for fleet in self._fleets.values() for replica in fleet.alive]
        for replica in replicas:
            replica.leaving = True
            replica.kill("killed")
        for replica in replicas:
            replica.buried()
        for worker in self._workers:
            worker.connection.close()
        self._listener.close()
        (self._folder / SOCKET_NAME).unlink(missing_ok=True)
        self._selector.close()
        os.close(self._wake_r)


def _why_not(error: OSError | ValueError) -> dict[str, Any]:
    """Why a host could not be started, as a host would say it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        detail = "its process cannot be started: there is no room left for temporary files"
        return {"code": "load_failed", "detail": detail, "hint": "Make room, or name another folder: execution.folder."}
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return {"code": "load_failed", "detail": f"its Python cannot be started: {why}"}


def _named(replica: Replica) -> dict[str, Any]:
    spec = replica.spec
    return {"model": spec.model, "version": spec.version, "pid": replica.process.pid}
