"""Workers on one port, each with its own socket: started, watched, replaced when they die, and stopped together."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from foretell.cli.serving.address import bind_again
from foretell.cli.serving.environment import serving_environment
from foretell.cli.serving.terminal import has_terminal
from foretell.errors import StartFailed
from foretell.settings import Settings
from foretell.settings_secrets import DESCRIPTOR, handing_over

STOP_GRACE_S = 10.0
RETRY_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0

_log = structlog.get_logger("foretell.workers")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def worker_command(socket_fd: int, status_fd: int, announce: bool) -> list[str]:
    """How a worker is started; ``-P`` keeps the working directory from shadowing modules."""
    module = "foretell.cli.serving.worker"
    return [sys.executable, "-P", "-m", module, str(socket_fd), str(status_fd), "1" if announce else "0"]


@dataclass
class Worker:
    """One process and what it said of itself."""

    process: subprocess.Popen[bytes]
    status_fd: int
    started_s: float
    ready: bool = False
    rescan_due: bool = False
    failure: StartFailed | None = None
    said: bytes = b""

    def hear(self) -> bool:
        """Reads what the worker wrote, if anything. False once its end is closed."""
        text = os.read(self.status_fd, 65_536)
        self.said += text
        *lines, self.said = self.said.split(b"\n")
        for line in lines:
            status: dict[str, Any] = json.loads(line)
            if "ready" in status:
                self.ready = True
                if self.rescan_due:
                    self.process.send_signal(signal.SIGHUP)
            else:
                self.failure = StartFailed(status["failed"], hint=status["hint"], exit_code=status["exit_code"])
        return bool(text)


@dataclass
class Slot:
    """One of the places for a worker, and its socket's number; ``tries`` counts starts that did not last."""

    number: int
    worker: Worker | None = None
    tries: int = 0
    due_s: float = 0.0
    ever_ready: bool = False


@dataclass
class Supervisor:
    """Runs a worker on each of the bound ``sockets`` until SIGTERM or SIGINT.

    A worker that dies is replaced, with growing pauses where that does not last. SIGHUP goes to every worker. Workers
    are not asked whether they are well: a long model call is no reason to kill one.
    """

    settings: Settings
    sockets: list[socket.socket]
    command: Callable[[int, int, bool], list[str]] = worker_command
    slots: list[Slot] = field(default_factory=list)
    stopping: bool = False
    announced: bool = False

    def run(self) -> None:
        """Returns after a stop. Raises StartFailed where a worker fails before it ever served."""
        self.slots = [Slot(number) for number in range(len(self.sockets))]
        had_terminal = has_terminal()
        with _signals() as signals:
            try:
                while not self.stopping:
                    self._start_due()
                    for number in self._wait(signals):
                        if number != signal.SIGHUP or (had_terminal and not has_terminal()):
                            self.stopping = True
                        else:
                            self._rescan()
            finally:
                self._stop_all(signals)

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self.slots:
            if slot.worker is None and slot.due_s <= now:
                slot.worker = self._start(self.sockets[slot.number].fileno(), announce=not self.announced)
                self.announced = True

    def _start(self, socket_fd: int, *, announce: bool) -> Worker:
        reading, writing = os.pipe()
        with handing_over(self.settings.export()) as settings:
            process = subprocess.Popen(  # noqa: S603  # our own module
                self.command(socket_fd, writing, announce),
                env={**serving_environment(self.settings, os.environ), DESCRIPTOR: str(settings)},
                pass_fds=(socket_fd, writing, settings),
                process_group=0,  # Ctrl-C in the terminal is for the supervisor, which tells the workers
            )
        os.close(writing)
        return Worker(process, reading, time.monotonic())

    def _wait(self, signals: int, most_s: float | None = None) -> bytes:
        """Sleeps until a signal comes, a worker speaks or one is due, ``most_s`` at most. Returns the signals."""
        listening = {slot.worker.status_fd: slot for slot in self.slots if slot.worker is not None}
        due = [slot.due_s - time.monotonic() for slot in self.slots if slot.worker is None and slot.due_s != math.inf]
        limits = [] if self.stopping else due
        if most_s is not None and most_s != math.inf:
            limits.append(most_s)
        readable, _, _ = select.select([signals, *listening], [], [], max(0.0, min(limits)) if limits else None)
        for fd in readable:
            if fd != signals:
                self._listen(listening[fd])
        return os.read(signals, 4096) if signals in readable else b""

    def _listen(self, slot: Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        if worker.hear():
            slot.ever_ready |= worker.ready
            return
        code = worker.process.wait()
        os.close(worker.status_fd)
        slot.worker = None
        if not self.stopping:
            failure = worker.failure or StartFailed(f"A worker ended with {_ending(code)} before it served.")
            self._ended(slot, worker, code, failure)

    def _ended(self, slot: Slot, worker: Worker, code: int, failure: StartFailed) -> None:
        """A worker ended by itself."""
        if not slot.ever_ready:
            raise failure
        self._plan_restart(slot, worker, code, failure)

    def _plan_restart(self, slot: Slot, worker: Worker, code: int, failure: StartFailed) -> None:
        now = time.monotonic()
        slot.tries = 0 if now - worker.started_s > STEADY_S else slot.tries + 1
        pause_s = RETRY_S[min(slot.tries, len(RETRY_S) - 1)] if slot.tries > 1 or not worker.ready else 0.0
        slot.due_s = now + pause_s
        if pause_s and len(self.sockets) > 1:
            # a replacement that starts at once takes over the connections that wait; a later one would find them stale,
            # and the others shall get meanwhile what would come here
            self.sockets[slot.number] = bind_again(self.sockets[slot.number])
        why = None if worker.ready else failure.detail
        _log.error("worker_died", pid=worker.process.pid, ended=_ending(code), restart_s=pause_s, detail=why)

    def _rescan(self) -> None:
        for slot in self.slots:
            if slot.worker is None:
                continue
            if slot.worker.ready:
                slot.worker.process.send_signal(signal.SIGHUP)
            else:  # it may have no handler yet, so that the signal would end it
                slot.worker.rescan_due = True

    def _send(self, number: int) -> None:
        for slot in self.slots:
            if slot.worker is not None:
                slot.worker.process.send_signal(number)

    def _stop_all(self, signals: int) -> None:
        """Lets every worker end what it accepted; a second signal, or the time allowed, ends them at once."""
        self.stopping = True
        self._send(signal.SIGTERM)
        until_s = time.monotonic() + self.settings.drain_s + STOP_GRACE_S
        while any(slot.worker is not None for slot in self.slots):
            again = self._wait(signals, until_s - time.monotonic())
            if again.strip(bytes([signal.SIGHUP])) or time.monotonic() >= until_s:
                self._send(signal.SIGKILL)
                until_s = math.inf


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor on which the numbers of arriving signals can be read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _noted) for number in _SIGNALS}
    wakeup_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _noted(_number: int, _frame: Any) -> None:
    """A handler has to stand for the signal to reach the wake-up descriptor, where it is read."""


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
