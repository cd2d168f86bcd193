"""One host as its supervisor sees it: started, watched, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import foretell
from foretell.execution.hosted import boot
from foretell.execution.hosted.breaker import Cause
from foretell.execution.hosted.frames import pack
from foretell.execution.hosted.memory import Memory
from foretell.execution.hosted.service import LEAVE_S
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.status import Flight, Status

START_S = 120.0
OVERDUE_S = LEAVE_S + 5.0
"""How much longer than its last call may take a host may need to leave, until it is killed."""
SAID_BYTES = 1024 * 1024
OUTPUT_BYTES = 64 * 1024
OUTPUT_READS = 16
SILENT_LOOKS = 200
"""Looks of the supervisor, ten seconds of them, after which a host that does nothing and says nothing is stuck."""
WORN_GRACE = 1.1
"""How far over its limit of memory a host may go while the one that replaces it starts."""
OUTPUT_CHARS = 2000
_KEPT = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "HF_HOME"})
_KEPT_PREFIXES = ("LC_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "CUDA_", "NVIDIA_", "TORCH_")


class Replica:
    """One process. ``ready`` is what it said of its model; ``doomed`` why it was killed, where it was by us."""

    def __init__(self, spec: HostSpec, folder: Path, number: int, environ: Mapping[str, str]) -> None:
        self.spec = spec
        self.number = number
        self.socket = str(folder / f"{number}.sock")
        self.ready: Mapping[str, Any] | None = None
        self.failure: Mapping[str, Any] | None = None
        self.doomed: Cause | None = None
        self.leaving = False
        self.mute = False
        self.worn = False
        self.memory_bytes = 0
        self._ready_bytes = 0
        self._silent = 0
        self._beat_ns = 0
        self.started_s = time.monotonic()
        self.ready_s = 0.0
        self._left_s = 0.0
        self._said = b""
        self._task_path = folder / f"{number}.task"
        with ExitStack() as theirs, ExitStack() as ours:
            ours.callback(self._task_path.unlink, missing_ok=True)
            ours.callback(Path(self.socket).unlink, missing_ok=True)
            page = Status.create()
            theirs.callback(os.close, page)
            self._status = Status(page)
            ours.callback(self._status.close)
            self.output_fd, output = _pipe(ours, theirs)
            self.said_fd, said = _pipe(ours, theirs)
            self.process = self._start(output, said, page, environ)
            try:
                self.pid_fd = os.pidfd_open(self.process.pid)
                self._memory = Memory(self.process.pid)
            except OSError:  # no descriptor left to watch it by
                self.kill("failed_to_load")
                self.process.wait()
                raise
            ours.callback(os.close, self.pid_fd)
            self._held = ours.pop_all()

    def _start(self, output: int, said: int, page: int, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        package = str(Path(foretell.__file__).parent)
        task = {
            "spec": self.spec.to_document(),
            "socket": self.socket,
            "status": page,
            "parent": os.getpid(),
        }
        self._task_path.write_text(json.dumps(task, default=str))
        return subprocess.Popen(  # noqa: S603  # the interpreter the operator or the author's manifest names
            [self.spec.python, "-u", boot.__file__, package, str(said), str(self._task_path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(said, page),
            env=_environment(environ, self.spec.threads),
            cwd="/",
            process_group=0,
        )

    def hear(self) -> None:
        """Reads what the host says of itself. What is no line of ours dooms it. ``mute``: there is no more to come."""
        with contextlib.suppress(BlockingIOError):
            part = os.read(self.said_fd, 65_536)
            self.mute = not part
            self._said += part
        line, end, _ = self._said.partition(b"\n")
        if len(self._said) > SAID_BYTES:
            self.kill("garbage")
        if not end or self.ready is not None or self.failure is not None:
            return
        try:
            status = json.loads(line)
            pack(status)  # the web workers are to be told
            ready, failure = status.get("ready"), status.get("failed")
            if not isinstance(ready or failure, dict):
                raise TypeError
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            self.kill("garbage")
            return
        self.ready, self.failure = ready or None, failure
        self.ready_s = time.monotonic()

    @property
    def left(self) -> bool:
        """Whether it ended because it was asked to, and not on the way out for something it did."""
        return self.leaving and self.doomed is None

    @property
    def growth_bytes(self) -> int:
        """Memory taken since it was ready."""
        return self.memory_bytes - self._ready_bytes if self._ready_bytes else 0

    @property
    def calls(self) -> int:
        """Calls of its model that have ended."""
        return self._status.calls()

    def over_limit(self, now_s: float) -> Cause | None:
        """Looks at memory and clock. Which limit the host is over now."""
        limit_bytes = (WORN_GRACE if self.worn else 1.0) * self.spec.memory_mib * 2**20
        self.memory_bytes = self._memory.look()
        if self.memory_bytes > limit_bytes:
            self.memory_bytes = self._memory.look_well()
        if self.memory_bytes > limit_bytes:
            return "memory_limit"
        if self.ready is None:
            return "time_limit" if now_s - self.started_s > START_S else None
        self._ready_bytes = self._ready_bytes or self.memory_bytes
        since_ns = self._status.running_since_ns()
        if since_ns:
            self._silent = 0
            return "time_limit" if now_s - since_ns / 1e9 > self.spec.timeout_s else None
        return "time_limit" if self._stuck() else None

    def _stuck(self) -> bool:
        """Whether it has neither called the model nor listened for long. Counted in looks, not by the clock: where the
        whole machine stood still, nobody is to blame."""
        beat_ns = self._status.last_beat_ns()
        self._silent = self._silent + 1 if beat_ns == self._beat_ns else 0
        self._beat_ns = beat_ns
        return self._silent > SILENT_LOOKS

    def output(self) -> bytes:
        """What the model has printed since. At most a mebibyte: one that prints more waits for room meanwhile."""
        parts: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(parts) < OUTPUT_READS and (part := os.read(self.output_fd, OUTPUT_BYTES)):
                parts.append(part)
        return b"".join(parts)

    def kill(self, cause: Cause) -> None:
        """Ends the process, and whatever it started, at once."""
        self.doomed = self.doomed or cause
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Lets the process end when its web workers have left it."""
        if self.leaving:
            return
        self.leaving = True
        self._left_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)

    def overdue(self, now_s: float) -> bool:
        """Whether it should have left by now: a thread that the model began may hold it for ever."""
        return self.leaving and now_s - self._left_s > OVERDUE_S + self.spec.timeout_s

    def buried(self) -> tuple[Cause, str, list[Flight]]:
        """After its death: why, how in words, and whose frames it died with."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what it left behind, while its number is nobody else's
        code = self.process.wait()
        flights = self._status.flights()
        self._held.close()
        how = signal_name(-code) if code < 0 else f"exit code {code}"
        if self.doomed is not None:
            return self.doomed, how, flights
        if self.ready is None:
            return "failed_to_load", how, flights
        return ("killed" if code == -signal.SIGKILL else "crashed"), how, flights


def signal_name(number: int) -> str:
    """A signal in words."""
    names = {one.value: one.name for one in signal.Signals}
    return f"signal {names.get(number, number)}"


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """The end that is read here, without waiting, and the host's."""
    mine, other = os.pipe()
    ours.callback(os.close, mine)
    theirs.callback(os.close, other)
    os.set_blocking(mine, False)
    return mine, other


def _environment(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """What a model may see: how to find programs and libraries, and nothing that could be a secret."""
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    kept = {k: v for k, v in environ.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}
    return {**counts, **kept}
