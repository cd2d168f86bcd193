"""What a host is doing right now, readable from outside even when its interpreter is stuck.

A page of memory that host and supervisor have mapped: when the running call began, whose frames are in it, and how
many calls there were. Times are ``time.monotonic_ns``, which all processes of a machine share on Linux.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Sequence

SIZE = 4096

_HEAD = struct.Struct("<QI")
_PAIR = struct.Struct("<QQ")
_NUMBER = struct.Struct("<Q")
_BEAT_AT = SIZE - _NUMBER.size
_CALLS_AT = _BEAT_AT - _NUMBER.size
_MOST = (_CALLS_AT - 16) // _PAIR.size

Flight = tuple[int, int]
"""A web worker's token and the number of its frame."""


class Status:
    """The page of one host. What the host writes there is its own word, and read with suspicion."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, SIZE)

    @staticmethod
    def create() -> int:
        """The descriptor of a new page. Sealed: a host that shrank it would end whoever looks, by SIGBUS."""
        descriptor = os.memfd_create("foretell-status", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, SIZE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return descriptor

    def begin(self, now_ns: int, flights: Sequence[Flight]) -> None:
        """A call with these frames begins."""
        for number, flight in enumerate(flights[:_MOST]):
            _PAIR.pack_into(self._page, 16 + number * _PAIR.size, *flight)
        _HEAD.pack_into(self._page, 0, now_ns, min(len(flights), _MOST))

    def end(self) -> None:
        """The call has ended."""
        _HEAD.pack_into(self._page, 0, 0, 0)
        _NUMBER.pack_into(self._page, _CALLS_AT, self.calls() + 1)

    def calls(self) -> int:
        """How many calls have ended."""
        return int(_NUMBER.unpack_from(self._page, _CALLS_AT)[0])

    def beat(self, now_ns: int) -> None:
        """Between two calls: the host is there and listens."""
        _NUMBER.pack_into(self._page, _BEAT_AT, now_ns)

    def last_beat_ns(self) -> int:
        """When the host last said so; 0 before it ever did."""
        return int(_NUMBER.unpack_from(self._page, _BEAT_AT)[0])

    def running_since_ns(self) -> int:
        """When the running call began; 0 where none runs."""
        return int(_HEAD.unpack_from(self._page)[0])

    def flights(self) -> list[Flight]:
        """The frames of the running call; none where none runs."""
        started_ns, count = _HEAD.unpack_from(self._page)
        if not started_ns:
            return []
        pairs = (_PAIR.unpack_from(self._page, 16 + n * _PAIR.size) for n in range(min(count, _MOST)))
        return [(client, frame) for client, frame in pairs]

    def close(self) -> None:
        self._page.close()
