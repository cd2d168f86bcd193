"""Where log lines go: a bounded buffer, and a thread that writes it out.

Whoever writes never waits: what does not fit is dropped and counted, and once the output drains again the count is
written as a line of its own. Lines are on their way within 200 ms, and at ``stop``.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

GATHER_S = 0.05
GATHER_LINES = 512
STOP_S = 2.0

_RETRY_S = 0.05


class Target(Protocol):
    """An open file descriptor with its manners."""

    block_bytes: int
    """Most bytes to hand over at once; lines are kept whole up to it."""

    def write(self, block: memoryview) -> int:
        """Writes some of the block and returns how much. Raises OSError; BlockingIOError where it is full."""
        ...

    def close(self) -> None: ...


class Sink:
    """Takes lines from any thread. ``tell`` makes the line that says how many were dropped."""

    def __init__(self, target: Target, *, max_lines: int, tell: Callable[[int], bytes]) -> None:
        self._target = target
        self._max_lines = max_lines
        self._tell = tell
        self._dropped_total = 0
        self._closed = False
        self._reset()
        _open_sinks.add(self)

    def _reset(self) -> None:
        # reentrant, since a signal handler may log while its own thread is in here
        self._lock = threading.RLock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._blocks: list[bytes] = []
        self._buffered = self._pending = self._dropped = 0
        self._thread: threading.Thread | None = None
        self._turn = 0
        self._stop_at: float | None = None
        self._torn = False

    @property
    def dropped_total(self) -> int:
        """Lines dropped so far."""
        return self._dropped_total

    def write(self, block: bytes, lines: int = 1) -> None:
        """Takes ``lines`` whole lines in one block, or drops and counts them. Never waits, never raises."""
        with self._lock:
            if self._closed or self._pending + lines > self._max_lines:
                self._drop(lines)
                return
            self._blocks.append(block)
            self._pending += lines
            self._buffered += lines
            if self._buffered == lines:
                self._wake.set()
                if self._thread is None:
                    self._start()
            elif self._buffered >= GATHER_LINES and not self._hurry.is_set():
                self._hurry.set()

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Writes out what is there, for ``timeout_s`` at most. Returns the lines that could not be written.

        A line written later starts the thread anew.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return self._pending + self._dropped
            self._stop_at = time.monotonic() + timeout_s
            self._hurry.set()
            self._wake.set()
        thread.join(timeout_s)
        return self._pending + self._dropped

    def close(self, timeout_s: float = STOP_S) -> int:
        """Stops for good and gives the output back; lines written later are dropped. Returns as ``stop`` does."""
        lost = self.stop(timeout_s)
        self._closed = True
        _open_sinks.discard(self)
        if not lost:
            self._target.close()
        return lost

    def _start(self) -> None:
        self._stop_at = None
        self._turn += 1
        thread = threading.Thread(target=self._run, args=(self._turn,), name="foretell-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down, or there are no threads left
            self._drop(self._pending)
            self._blocks, self._pending, self._buffered = [], 0, 0
            return
        self._thread = thread

    def _drop(self, lines: int) -> None:
        self._dropped += lines
        self._dropped_total += lines

    def _run(self, turn: int) -> None:
        while turn == self._turn:  # else it was stopped while the output was stuck, and another has started since
            self._wake.wait()
            self._hurry.wait(GATHER_S)
            with self._lock:
                if turn != self._turn:
                    return
                self._wake.clear()
                self._hurry.clear()
                blocks, self._blocks = self._blocks, []
                taken, self._buffered = self._buffered, 0
            self._flush(b"".join(blocks), taken)
            with self._lock:
                if self._stop_at is not None and not self._blocks:
                    return

    def _flush(self, data: bytes, lines: int) -> None:
        unwritten = self._write_out(data)
        with self._lock:
            self._pending -= lines
            if unwritten:
                self._drop(unwritten)
                return
            dropped, self._dropped = self._dropped, 0
        if dropped and self._write_out(self._tell(dropped)):
            with self._lock:
                self._dropped += dropped

    def _write_out(self, data: bytes) -> int:
        """Writes all lines and returns 0, or how many were not written where the output cannot take them."""
        if self._torn and data:
            data = b"\n" + data
        view, start = memoryview(data), 0
        while start < len(data):
            stop = _cut(data, start, self._target.block_bytes)
            try:
                start += self._target.write(view[start:stop])
            except BlockingIOError:
                if self._stop_at is not None and time.monotonic() >= self._stop_at:
                    break
                time.sleep(_RETRY_S)
            except OSError:
                break
        if start:
            self._torn = data[start - 1 : start] != b"\n"
        return data.count(b"\n", start)


def _cut(data: bytes, start: int, size: int) -> int:
    """Where a block from ``start`` ends: after the last whole line that fits, else after the first line."""
    if len(data) - start <= size:
        return len(data)
    newline = data.rfind(b"\n", start, start + size)
    if newline < 0:
        newline = data.find(b"\n", start)
    return len(data) if newline < 0 else newline + 1


_open_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def _after_fork() -> None:
    # the child has neither the thread nor a claim to the parent's lines, and a lock of it may be held for ever
    for sink in list(_open_sinks):
        sink._reset()


def stop_all() -> None:
    """Writes out what every open sink holds, for a process that is about to end."""
    for sink in list(_open_sinks):
        sink.stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop_all)
