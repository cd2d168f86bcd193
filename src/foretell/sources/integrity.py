"""Whether the files of a version are what its manifest says, and stay so while they are loaded.

Files are opened without following links and without waiting for a pipe's other end, have to be regular, of the size
stated, and of the SHA-256 stated. What is loaded is what was verified: the loader reads through ``path``, which holds
on to the folder itself, whatever is renamed around it, and asks ``confirm`` afterwards.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from foretell.core.manifest import Artifact, digest
from foretell.errors import IntegrityError

_CHUNK_BYTES = 1024 * 1024
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Two writes within one tick of the kernel's clock leave the same ctime. A file this young is read again.
_YOUNG_NS = 2_000_000_000
_DAMAGED = "it is half-copied or was changed. Copy the version again, or package it anew under another version."

Identity = tuple[int, int, int, int, int]


def identity(status: os.stat_result) -> Identity:
    """What changes whenever a file's content may have changed: device, inode, size, mtime and ctime."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class _Seen:
    artifact: Artifact
    identity: Identity
    young: bool


class Verified:
    """Files of one folder that have been read and compared. Valid until the ``with`` block of ``verified`` ends."""

    def __init__(self, folder: Path, folder_fd: int, seen: Sequence[_Seen]) -> None:
        self._folder = folder
        self._folder_fd = folder_fd
        self._seen = tuple(seen)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What was read, in the order asked for."""
        return tuple(seen.artifact for seen in self._seen)

    @property
    def digest(self) -> str:
        """The version's digest."""
        return digest(self.artifacts)

    def path(self, name: str) -> Path:
        """Where to load a file of the folder from: by the folder's descriptor where the system has such paths."""
        pinned = Path(f"/proc/self/fd/{self._folder_fd}")
        return (pinned if pinned.exists() else self._folder) / name

    def confirm(self) -> None:
        """Raises IntegrityError where a file was changed or replaced since it was read."""
        for seen in self._seen:
            name = seen.artifact.name
            with _opened(self._folder_fd, name) as (descriptor, status):
                same = identity(status) == seen.identity
                if same and seen.young:
                    same = _sha256(descriptor, seen.artifact.size_bytes) == seen.artifact.sha256
            if not same:
                raise IntegrityError(
                    f"{name} was changed while it was being loaded. Versions are immutable: write a version under a "
                    "temporary name and rename the folder when it is complete."
                )


@contextmanager
def verified(folder: Path, artifacts: Sequence[Artifact]) -> Iterator[Verified]:
    """Reads and compares all ``artifacts``. Raises IntegrityError naming the first that is not as stated."""
    with _opened_folder(folder) as folder_fd:
        yield Verified(folder, folder_fd, [_verify(folder_fd, artifact) for artifact in artifacts])


@contextmanager
def measured(folder: Path, *names: str) -> Iterator[Verified]:
    """The same for files that nothing is known about: their sizes and SHA-256 are taken as found."""
    with _opened_folder(folder) as folder_fd:
        yield Verified(folder, folder_fd, [_measure(folder_fd, name) for name in names])


def read_file(folder: Path, name: str, max_bytes: int) -> bytes | None:
    """The content of a regular file of ``folder``; None where there is none.

    Raises IntegrityError for what is no regular file, cannot be read, or is longer than ``max_bytes``.
    """
    with _opened_folder(folder) as folder_fd:
        try:
            os.lstat(name, dir_fd=folder_fd)
        except FileNotFoundError:
            return None
        with _opened(folder_fd, name) as (descriptor, status):
            if status.st_size > max_bytes:
                raise IntegrityError(f"{name} has {status.st_size:,} bytes; at most {max_bytes:,} are read")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise IntegrityError(f"{name} grew beyond {max_bytes:,} bytes while it was being read")
    return content


def _verify(folder_fd: int, stated: Artifact) -> _Seen:
    with _opened(folder_fd, stated.name) as (descriptor, status):
        if status.st_size != stated.size_bytes:
            raise IntegrityError(
                f"{stated.name} has {status.st_size:,} bytes, the manifest says {stated.size_bytes:,}: {_DAMAGED}"
            )
        found = _sha256(descriptor, status.st_size)
        if found != stated.sha256:
            raise IntegrityError(
                f"{stated.name} has SHA-256 {found[:12]}…, the manifest says {stated.sha256[:12]}…: {_DAMAGED}"
            )
        return _Seen(stated, identity(status), _young(status))


def _measure(folder_fd: int, name: str) -> _Seen:
    with _opened(folder_fd, name) as (descriptor, status):
        artifact = Artifact(name, _sha256(descriptor, status.st_size), status.st_size)
        return _Seen(artifact, identity(status), _young(status))


def _young(status: os.stat_result) -> bool:
    return abs(time.time_ns() - status.st_ctime_ns) < _YOUNG_NS


def _sha256(descriptor: int, size_bytes: int) -> str:
    """Hashes ``size_bytes`` from the start, and one more where the file has grown, so that growth shows and ends."""
    hashed, offset = hashlib.sha256(), 0
    while offset <= size_bytes:
        chunk = os.pread(descriptor, min(_CHUNK_BYTES, size_bytes + 1 - offset), offset)
        if not chunk:
            break
        hashed.update(chunk)
        offset += len(chunk)
    return hashed.hexdigest()


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, _FOLDER_FLAGS)
    except OSError as error:
        raise IntegrityError(f"the version's folder cannot be read: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(folder_fd: int, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file of the folder, open for reading. Looks before it opens: opening a device may have effects.

    ``name`` may lead through folders in it, none of them a link, and never out of it.
    """
    *folders, last = parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise IntegrityError(f"{name[:64]!r} is not the name of a file in the folder")
    with ExitStack() as stack:
        try:
            for folder in folders:
                folder_fd = os.open(folder, _FOLDER_FLAGS, dir_fd=folder_fd)
                stack.callback(os.close, folder_fd)
            fault = kind_fault(os.lstat(last, dir_fd=folder_fd).st_mode)
            if fault:
                raise IntegrityError(f"{name} is {fault}; only regular files are read")
            descriptor = os.open(last, _FILE_FLAGS, dir_fd=folder_fd)
            stack.callback(os.close, descriptor)
        except FileNotFoundError:
            raise IntegrityError(f"{name} is missing from the folder. Copy the version again.") from None
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "its name is not a file name"
            raise IntegrityError(f"{name[:64]!r} cannot be read: {cause}") from None
        status = os.fstat(descriptor)
        if fault := kind_fault(status.st_mode):
            raise IntegrityError(f"{name} is {fault}; only regular files are read")
        yield descriptor, status


def kind_fault(mode: int) -> str | None:
    """What a file is where it is not a regular one, in words; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")
