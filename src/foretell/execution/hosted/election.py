"""Who supervises the hosts of a server: whoever holds the lock, which goes with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from foretell.errors import OperatorError
from foretell.execution.hosted.supervisor import Supervisor

LOCK_NAME = "supervisor.lock"


class Election:
    """One process's standing for the place of the supervisor in ``folder``."""

    def __init__(self, folder: Path, *, show_output: bool = False) -> None:
        self._folder = folder
        self._show_output = show_output
        self._lock_fd: int | None = None
        self._supervisor: Supervisor | None = None

    def stand(self) -> bool:
        """Becomes the supervisor where nobody is. Whether this process is it now. Raises OperatorError."""
        if self._supervisor is not None:
            if self._supervisor.running:
                return True
            self._supervisor.stop()
            self._supervisor = None
        if self._lock_fd is None:
            private_folder(self._folder)
            self._lock_fd = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            self._supervisor = Supervisor(self._folder, show_output=self._show_output, on_end=self._vacate)
        except BaseException:
            self._vacate()
            raise
        self._supervisor.start()
        return True

    def _vacate(self) -> None:
        """Lets another stand: a supervisor that failed, or never came to be, is not to keep the place."""
        if self._lock_fd is not None:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Ends the hosts where this process supervises them, and makes the place free."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def private_folder(path: Path) -> Path:
    """The folder for sockets and locks, ours alone. Raises OperatorError where somebody else made it."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise OperatorError(
            f"{path} is not a folder of this user alone, so no model can be hosted there.",
            hint="Remove it, or set TMPDIR to a folder of this user's.",
        )
    return path
