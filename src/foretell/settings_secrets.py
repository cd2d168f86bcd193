"""Secrets among the settings: read from files of their own, and handed to processes of ours by no environment.

Only ``foretell.settings`` and its readers come here.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "_file"
"""``cache.secret`` is read from the file that ``cache.secret_file`` names."""
DESCRIPTOR = "FORETELL_SETTINGS_DESCRIPTOR"
"""The variable by which a process that we start finds what was handed over to it."""
MOST_BYTES = 64 * 1024


class SecretUnreadable(Exception):
    """The file with a secret cannot be used; says why, and nothing of what is in it."""


def read_secret(path: Path) -> str:
    """The text in a file, without the line's end behind it. Raises SecretUnreadable."""
    try:
        # a pipe that nobody writes to would be waited for without end
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise SecretUnreadable(f"the file cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise SecretUnreadable("it is not a regular file")
        content = os.read(opened, MOST_BYTES + 1)
    finally:
        os.close(opened)
    if len(content) > MOST_BYTES:
        raise SecretUnreadable(f"the file is larger than {MOST_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnreadable("the file is not UTF-8 text") from None
    if not text:
        raise SecretUnreadable("the file is empty")
    return text


def readable_by_all(path: Path) -> bool:
    """Whether every user of this machine may read the file, as far as its own mode says."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


@contextmanager
def handing_over(document: str) -> Iterator[int]:
    """A descriptor for a process that is started in the block, which reads the document there and closes it.

    It is in memory alone where the system has such files; elsewhere in one without a name.
    """
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("foretell-settings"), "wb")
    else:
        file = tempfile.TemporaryFile("wb")  # noqa: SIM115  # closed with the block below
    with file:
        file.write(document.encode())
        file.flush()
        yield file.fileno()


def take_over(descriptor: int) -> str:
    """The document that was handed over. Raises OSError where there is none."""
    parts: list[bytes] = []
    offset = 0
    while part := os.pread(descriptor, 1024 * 1024, offset):
        parts.append(part)
        offset += len(part)
    os.close(descriptor)
    return b"".join(parts).decode()
