"""Bytes kept on disk until the last of them has come, in a file that has no name and vanishes with whoever holds it."""

from __future__ import annotations

import errno
import tempfile
from typing import BinaryIO, cast

from foretell.errors import BodyTooLarge, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HINT = "send it later, in smaller files, or as an Arrow stream, which is read while it comes"


class Spool:
    """At most ``max_bytes`` in the folder of temporary files (``TMPDIR``)."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self.size = 0

    @property
    def file(self) -> BinaryIO:
        """The file, made when it is first asked for. Raises OSError."""
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed by ``close``
        return self._file

    def write(self, data: bytes) -> None:
        """Keeps the next bytes. Raises BodyTooLarge, StorageFull where the disk has no room for them, and OSError."""
        if self.size + len(data) > self._max_bytes:
            raise BodyTooLarge(
                f"The file is larger than {self._max_bytes} bytes, as much as is kept of one until it is whole "
                "(limits.max_spool_bytes).",
                hint="send the rows in several files, or as an Arrow stream, which is read while it comes",
            )
        left = memoryview(data)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            if error.errno not in _FULL:
                raise
            detail = "The server's disk has no room for the file, which it has to keep until it is whole."
            raise StorageFull(detail, hint=_HINT) from error
        self.size += len(data)

    def close(self) -> None:
        """Gives the disk its room back."""
        if self._file is not None:
            self._file.close()
