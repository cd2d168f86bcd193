"""The folder beside the output in which a run keeps what it has, so that the same command goes on where it stopped.

``plan.json`` says what is being done, ``rows`` is the output so far, ``journal`` how much of both input and output is
done and safe on the disk. What stands in ``rows`` beyond the journal's last line is cut off and made again: no row is
lost, and none stands there twice.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from foretell.cli.scoring.scorer import Scored
from foretell.errors import OperatorError

SUFFIX = ".scoring"
CHECKPOINT_S = 1.0
_COPY_BYTES = 1024 * 1024


class RunDiffers(OperatorError):
    """A run was begun that is not this one."""

    code = "run_differs"
    title = "Another run was begun"
    exit_code = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, slots=True)
class Done:
    """How far a run has come: parts and bytes of the input, bytes of ``rows``, and what stands there."""

    parts: int = 0
    offset: int = 0
    bytes: int = 0
    rows: int = 0
    faulty: int = 0


@contextmanager
def open_work(target: Path, plan: Mapping[str, Any], *, restart: bool) -> Iterator[Work]:
    """The folder of a run that writes ``target``, for as long as the block lasts.

    Raises RunDiffers where a run with another plan was begun and ``restart`` does not throw it away, and OperatorError
    where another process works in it.
    """
    folder = target.with_name(target.name + SUFFIX)
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("ab")
    except OSError as error:
        raise OperatorError(f"{folder} cannot be written: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OperatorError(f"Another process is writing {target.name}.", hint="wait for it, or stop it") from None
        work = Work(target, folder)
        work.begin(plan, restart=restart)
        try:
            yield work
        finally:
            work.close()
            if work.done == Done():
                shutil.rmtree(folder, ignore_errors=True)  # nothing to go on with


class Work:
    """What a run has done so far."""

    def __init__(self, target: Path, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._rows: BinaryIO | None = None
        self._journal: BinaryIO | None = None
        self._written_s = 0.0
        self._run = os.getpid()
        self.done = Done()
        self.resumed = False

    @property
    def rows(self) -> Path:
        """The output so far."""
        return self._folder / "rows"

    def part_path(self, index: int) -> Path:
        """Where the bytes of a part go; no run finds those of another."""
        return self._folder / f"part-{self._run}-{index}"

    def begin(self, plan: Mapping[str, Any], *, restart: bool) -> None:
        """Goes on with what is there, or begins."""
        begun = self._plan()
        if begun is not None and begun != plan and not restart:
            raise RunDiffers(
                f"A run that writes {self._target.name} was begun and is not this one: {_differences(begun, plan)}.",
                hint="give the same options to go on with it, or --restart to begin anew",
            )
        for leftover in self._folder.glob("part-*"):
            leftover.unlink()
        if begun is None or restart:
            for name in ("plan.json", "journal", "rows"):
                (self._folder / name).unlink(missing_ok=True)
            _write_safely(self._folder / "plan.json", orjson.dumps(plan))
        self.done = self._last()
        self.resumed = self.done.parts > 0
        self._rows = self.rows.open("ab")
        self._rows.truncate(self.done.bytes)
        self._journal = (self._folder / "journal").open("ab")
        self._journal.truncate(self._journal_bytes())
        self._written_s = time.monotonic()

    def _plan(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = orjson.loads((self._folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _lines(self) -> list[bytes]:
        """The journal's whole lines."""
        try:
            return (self._folder / "journal").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []

    def _journal_bytes(self) -> int:
        return sum(len(line) + 1 for line in self._lines())

    def _last(self) -> Done:
        lines = self._lines()
        return Done(**orjson.loads(lines[-1])) if lines else Done()

    def append(self, scored: Scored) -> None:
        """Takes the next part in order; its file is gone afterwards."""
        assert self._rows is not None  # noqa: S101 - begun
        with scored.path.open("rb") as part:
            size = os.fstat(part.fileno()).st_size
            shutil.copyfileobj(part, self._rows, _COPY_BYTES)
        scored.path.unlink()
        self.done = replace(
            self.done,
            parts=self.done.parts + 1,
            offset=scored.part.stop,
            bytes=self.done.bytes + size,
            rows=self.done.rows + scored.rows,
            faulty=self.done.faulty + scored.faulty,
        )
        if time.monotonic() - self._written_s >= CHECKPOINT_S:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Makes what was appended so far safe, then says so."""
        assert self._rows is not None  # noqa: S101 - begun
        assert self._journal is not None  # noqa: S101 - begun
        self._rows.flush()
        os.fsync(self._rows.fileno())
        self._journal.write(orjson.dumps(asdict(self.done)) + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._written_s = time.monotonic()

    def finish(self, finished: Path) -> None:
        """Puts the whole output, which is ``finished``, in its place, at once, and leaves nothing else behind."""
        with finished.open("rb+") as whole:
            os.fsync(whole.fileno())
        finished.replace(self._target)
        _sync_folder(self._target.parent)
        self.close()
        shutil.rmtree(self._folder)

    def close(self) -> None:
        """Ends writing. What is there stays."""
        for opened in (self._rows, self._journal):
            if opened is not None:
                opened.close()
        self._rows = self._journal = None


def _differences(begun: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    names = [name for name in {**begun, **plan} if begun.get(name) != plan.get(name)]
    return ", ".join(f"{name} was {_shown(begun.get(name))} and is {_shown(plan.get(name))}" for name in names)


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _write_safely(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
