"""The counter file: one for all servers and workers that share a state folder; what it counts survives restarts."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from foretell.errors import StateError
from foretell.security.limits.buckets import Bucket
from foretell.security.limits.counters import Amount, Granted, Mark, Refused
from foretell.security.limits.local import HELD_S, WORDS, LocalCounters, alone
from foretell.state.folder import keep_private, prepare

FILE = "limits-1.counters"
"""The number is the layout's: another layout is another file."""

OPEN_S = 0.5

_MAGIC = int.from_bytes(b"foretell", "little")
_HEAD = 16
_MADE, _SALT, _BOOT, _OFFSET, _LAST, _HOSTS = 0, 1, 3, 4, 5, 6
_BYTES = (_HEAD + WORDS) * 8
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = structlog.get_logger("foretell.limits")


class CounterFile:
    """The file of a folder, mapped. Raises OSError or StateError where it cannot be."""

    def __init__(
        self,
        folder: Path,
        workers: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        prepare(folder)
        path = folder / FILE
        keep_private(path)
        self._monotonic = monotonic
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(self._fd)
            # the room is taken now: a disk that is full later must not kill whoever writes into the map
            os.posix_fallocate(self._fd, 0, _BYTES)
            self._map = mmap.mmap(self._fd, _BYTES)
            self._words = memoryview(self._map).cast("Q")
            self._begin(wall())
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        except BaseException:
            os.close(self._fd)
            raise
        salt = bytes(self._words[_SALT : _SALT + 2].cast("B"))
        self.counters = LocalCounters(
            self._words[_HEAD:], salt, self.now_s, lock=self._fd, workers=workers, name="file"
        )

    def _begin(self, wall_s: float) -> None:
        """Makes the head of a new file. The file's time is that of the clock that no one can set, from boot to boot."""
        words = self._words
        if words[_MADE] != _MAGIC:
            words[_SALT : _SALT + 2] = memoryview(secrets.token_bytes(16)).cast("Q")
            words[_HOSTS] = 1
        boot = _boot()
        stopped = words[_MADE] == _MAGIC and words[_BOOT] == boot and self.now_s() > words[_LAST] - 60
        if not stopped:
            words[_OFFSET] = int((max(wall_s, words[_LAST]) - self._monotonic()) * 1e6)
            words[_BOOT] = boot
        words[_MADE] = _MAGIC

    def now_s(self) -> float:
        """The file's time."""
        return self._monotonic() + self._words[_OFFSET] / 1e6

    @property
    def hosts(self) -> int:
        """How many hosts counted together, when that was last known."""
        return max(1, self._words[_HOSTS])

    @hosts.setter
    def hosts(self, count: int) -> None:
        self._words[_HOSTS] = max(1, count)

    @property
    def id(self) -> str:
        """Tells the file from those of other hosts."""
        return f"{self._words[_SALT]:016x}"

    def sync(self) -> None:
        """Puts what was counted onto the disk, so that quotas survive a power cut; for a thread."""
        self._words[_LAST] = int(self.now_s())
        with contextlib.suppress(OSError):  # as after a full disk: the counts are in memory, where they are read
            os.fsync(self._fd)

    def close(self) -> None:
        """Gives the file back."""
        self._words[_LAST] = int(self.now_s())
        os.close(self._fd)


def _lock(fd: int) -> None:
    """Raises OSError where a process holds the file for longer than any that goes on would."""
    until_s = time.monotonic() + OPEN_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(0.001)
        else:
            return


def _boot() -> int:
    try:
        return int(_BOOT_ID.read_text(encoding="ascii").replace("-", "")[:16], 16)
    except (OSError, ValueError):  # not Linux: that the time stands behind what was counted tells a new boot, too
        return 0


class HostCounters:
    """The counters of this host, opened when they are first needed: most servers limit nobody.

    Where there can be no file each process holds its part of every limit.
    """

    held_s = HELD_S

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._workers = workers
        self._file: CounterFile | None = None
        self._counters: LocalCounters | None = None

    @property
    def counters(self) -> LocalCounters:
        """What counts."""
        if self._counters is None:
            self._counters = self._open()
        return self._counters

    @property
    def file(self) -> CounterFile | None:
        """The file, where one was needed and could be had."""
        return self._file

    def take(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """See ``Counters``."""
        return self.counters.take(buckets, need, want)

    async def ask(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """See ``Counters``."""
        return self.counters.take(buckets, need, want)

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        """See ``Counters``."""
        self.counters.give(buckets, amount, mark)

    def count(self, bucket: Bucket) -> None:
        """See ``LocalCounters``."""
        self.counters.count(bucket)

    def full(self, bucket: Bucket) -> Refused | None:
        """See ``LocalCounters``."""
        return self.counters.full(bucket)

    def sync(self) -> None:
        """Puts the file onto the disk, if there is one; for a thread."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Gives the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> LocalCounters:
        try:
            self._file = CounterFile(self._folder, self._workers)
        except (OSError, StateError) as error:
            detail = error.detail if isinstance(error, StateError) else f"{self._folder / FILE}: {error.strerror}"
            hint = f"each of {self._workers} workers holds its part of the limits"
            _log.warning("limits_not_shared", detail=detail, hint=hint)
            return alone(self._workers)
        return self._file.counters
