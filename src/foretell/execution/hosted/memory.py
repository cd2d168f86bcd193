"""How much memory a host takes, with the processes it started."""

from __future__ import annotations

import contextlib
import os

LOOKS = 10
"""How many looks at sizes for one at who is there, which costs as many reads as the host has threads."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """Resident memory of a process and its children and theirs, whichever of their threads began them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._family: set[int] = set()
        self._looks = 0

    def look(self) -> int:
        """Bytes now; children that came since the last look for them are not seen yet."""
        if self._looks % LOOKS == 0:
            self._family = family(self._pid)
        self._looks += 1
        return sum(map(resident_bytes, self._family))

    def look_well(self) -> int:
        """Bytes now, of those who are there now: a number may have become somebody else's."""
        self._looks = 0
        return self.look()


def family(pid: int) -> set[int]:
    """A process, its children and theirs."""
    found: set[int] = set()
    left = [pid]
    while left:  # not by recursion: children of children may be as many as a model likes
        one = left.pop()
        found.add(one)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):  # noqa: PTH208  # as quick as can be
                children = map(int, _read(f"/proc/{one}/task/{thread}/children").split())
                left += [child for child in children if child not in found]
    return found


def resident_bytes(pid: int) -> int:
    """Of one process; 0 where it has gone."""
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, 65_536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
