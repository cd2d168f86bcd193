"""The folder where the processes of one server meet over hosted models: ours alone, locked by whoever supervises.

A process that is killed leaves its folder behind. The next server of the same user takes such folders away, each
after it has taken its lock, which goes with its process: what somebody still holds is not touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path

import structlog

from foretell.errors import OperatorError

LOCK_NAME = "supervisor.lock"
LEFT_SUFFIXES = (".sock", ".task")
"""What a supervisor leaves behind, beside the lock, when it is killed."""
MOST_SWEPT = 1000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC

_log = structlog.get_logger("foretell.hosts")


def temporary_prefix() -> str:
    """How the names of this user's temporary folders begin."""
    return f"foretell-{os.getuid()}-"


def temporary_folder(name: str) -> Path:
    """Where a server meets whose settings name no folder. What is wrong there, ``Place.take`` says."""
    try:
        parent = tempfile.gettempdir()
    except OSError:  # no room anywhere
        parent = os.environ.get("TMPDIR", "/tmp")  # noqa: S108
    return Path(parent, temporary_prefix() + name)


class Place:
    """A folder and its lock, which one process at a time has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock_fd: int | None = None

    def take(self) -> bool:
        """Whether this process has the lock now. The first one to have it clears away what others left.

        Raises OperatorError where the folder cannot be made, or is not ours alone.
        """
        try:
            while not self._taken():
                if self._lock_fd is not None:
                    return False
        except OSError as error:
            self.close()
            raise OperatorError(
                f"The folder where hosted models are reached, {self.folder}, cannot be used: {error.strerror}.",
                hint="Make room there, or name another folder: execution.folder, or TMPDIR.",
            ) from error
        if self._temporary:
            sweep(self.folder.parent)
        return True

    def _taken(self) -> bool:
        """Tries once. Not taken, and without a descriptor: the file was taken away meanwhile, so try again."""
        if self._lock_fd is None:
            private_folder(self.folder)
            with contextlib.suppress(FileNotFoundError):
                self._lock_fd = os.open(self.folder / LOCK_NAME, _LOCK_FLAGS | os.O_CREAT, 0o600)
        if self._lock_fd is None:
            return False
        taken = _locked(self._lock_fd)
        if not self._same(self._lock_fd):
            self.close()
            return False
        return taken

    def _same(self, descriptor: int) -> bool:
        """Whether the file that was opened is the one that others would open now."""
        try:
            there = (self.folder / LOCK_NAME).lstat()
        except OSError:
            return False
        return os.path.samestat(os.fstat(descriptor), there)

    @property
    def _temporary(self) -> bool:
        return self.folder.name.startswith(temporary_prefix())

    def leave(self) -> None:
        """Lets another take it."""
        if self._lock_fd is not None:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Has no more to do with it."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def clear(self) -> None:
        """Closes it; a temporary folder whose lock nobody else has is gone then."""
        self.close()
        if self._temporary:
            _remove(self.folder)


def private_folder(path: Path) -> Path:
    """The folder for sockets and locks, ours alone. Raises OSError, or OperatorError where somebody else made it."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or not _ours(status):
        raise OperatorError(
            f"{path} is not a folder of this user alone, so no model can be hosted there.",
            hint="Remove it, or set TMPDIR to a folder of this user's.",
        )
    return path


def sweep(parent: Path) -> None:
    """Removes this user's temporary folders whose servers are gone without having been able to."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(parent) if name.startswith(temporary_prefix())]  # noqa: PTH208
        removed = sum(_remove(parent / name) for name in names[:MOST_SWEPT])
        if removed:
            _log.info("folders_swept", count=removed, detail="left behind by servers that were killed")


def _remove(folder: Path) -> bool:
    """Removes a folder where nobody has its lock and nothing is in it but what a supervisor leaves."""
    with contextlib.ExitStack() as stack:
        try:
            inside = os.open(folder, _FOLDER_FLAGS)
            stack.callback(os.close, inside)
            names = os.listdir(inside)  # noqa: PTH208
            if not _ours(os.fstat(inside)) or not all(map(_left, names)):
                return False
            # no lock: it was never supervised, or is about to be, and whoever does makes the folder anew
            if LOCK_NAME in names:
                lock = os.open(LOCK_NAME, _LOCK_FLAGS, dir_fd=inside)
                stack.callback(os.close, lock)
                if not _locked(lock):
                    return False
            for name in sorted(names, key=LOCK_NAME.__eq__):
                os.unlink(name, dir_fd=inside)
            folder.rmdir()
        except OSError:  # somebody else was quicker, or is just coming
            return False
        return True


def _left(name: str) -> bool:
    return name == LOCK_NAME or name.endswith(LEFT_SUFFIXES)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ours(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & 0o077
