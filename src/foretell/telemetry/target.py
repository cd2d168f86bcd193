"""Outputs a sink writes to: a descriptor that is there already, or a file that log rotation may move away."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

_BLOCK_BYTES = 256 * 1024
_ATOMIC_BYTES = 4096  # PIPE_BUF of Linux: up to this size a write to a pipe is never mixed with another process's
_LOOK_S = 1.0


class Descriptor:
    """A descriptor somebody else opened, such as standard output; stays open.

    ``shared`` says that other processes write to it as well: to a pipe, whole lines then go in writes that are atomic.
    """

    def __init__(self, fd: int, *, shared: bool = False) -> None:
        self._fd = fd
        self.block_bytes = _ATOMIC_BYTES if shared and not _is_file(fd) else _BLOCK_BYTES

    def write(self, block: memoryview) -> int:
        return os.write(self._fd, block)

    def close(self) -> None:
        """Leaves the descriptor to its owner."""


class LogFile:
    """A file opened for appending; opened anew when it was moved or deleted, as logrotate does. Raises OSError."""

    block_bytes = _BLOCK_BYTES

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()
        self._look_at = time.monotonic() + _LOOK_S

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, block: memoryview) -> int:
        if time.monotonic() >= self._look_at:
            self._follow()
        return os.write(self._fd, block)

    def _follow(self) -> None:
        self._look_at = time.monotonic() + _LOOK_S
        try:
            same = os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            same = False
        if not same:
            new = self._open()
            os.close(self._fd)
            self._fd = new

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
