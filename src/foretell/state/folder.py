"""The state folder: made for this user alone, on a disk of this host; and the small secret files in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from foretell.errors import StateError
from foretell.state.file_systems import MOUNTS, network_file_system
from foretell.state.translation import disk_fault

HINT = "FORETELL_STATE names another folder"


def prepare(folder: Path, mounts: Path = MOUNTS) -> None:
    """Makes the folder, of mode 0700, where it is not there. One that is there keeps its mode.

    Raises StateError where it cannot be used: on a network file system, open to writing by everybody, not ours.
    """
    network = network_file_system(folder, mounts)
    if network is not None:
        raise StateError(
            f"The state folder {folder} is on a network file system ({network}), where SQLite loses data.",
            hint=f"{HINT} on a disk of this host; several hosts share a PostgreSQL by FORETELL_STATE__URL",
        )
    try:
        _make(folder)
        found = folder.stat()
    except OSError as error:
        raise disk_fault(error, folder) from error
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"The state folder {folder} is not a folder.", hint=HINT)
    if found.st_mode & stat.S_IWOTH:
        raise StateError(
            f"Everybody may write to the state folder {folder}, and so could put other keys there.",
            hint=f"chmod o-w {folder}, or {HINT}",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"The state folder {folder} is not this user's to write to.", hint=HINT)


def _make(folder: Path) -> None:
    for parent in reversed([folder, *folder.parents]):
        with contextlib.suppress(FileExistsError):
            if not parent.exists():
                parent.mkdir(mode=0o700)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: of all processes of this host one at a time is in the block."""
    # the lock is on the folder itself: a file for it would belong to whoever came first, perhaps to root
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def keep_private(path: Path) -> None:
    """Takes a file of ours away from everybody else. Raises StateError where it is another user's."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    # root may look after the files of the user that serves
    if not stat.S_ISREG(found.st_mode) or (found.st_uid != os.geteuid() and os.geteuid() != 0):
        raise StateError(f"{path} is not a file of this user, so what it says cannot be trusted.", hint=HINT)
    if found.st_mode & 0o077:
        path.chmod(0o600)


def read_secret(path: Path) -> str | None:
    """What ``write_secret`` wrote; None where nobody has. Raises StateError where others could have."""
    keep_private(path)
    try:
        return path.read_text(encoding="utf-8").strip() or _empty(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path} cannot be read: {error}") from error


def _empty(path: Path) -> str:
    raise StateError(f"{path} is empty.", hint="restore it from a backup of the state folder")


def write_secret(path: Path, text: str) -> bool:
    """Writes a file of mode 0600, whole or not at all. False where it was there already: then it stays as it is."""
    with _draft(path, text) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    return True


def replace_secret(path: Path, text: str) -> None:
    """Writes a file of mode 0600, whole or not at all, in place of one that may be there."""
    with _draft(path, text) as draft:
        draft.rename(path)


@contextlib.contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError as error:
        raise disk_fault(error, path) from error
    finally:
        draft.unlink(missing_ok=True)
