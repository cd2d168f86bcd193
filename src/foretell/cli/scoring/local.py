"""A process that scores, seen from the one that started it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Scored
from foretell.cli.scoring.worker import ENTRY
from foretell.errors import OperatorError

STOP_S = 10.0


class Answerer(Protocol):
    """Answers parts, one at a time, on a thread of its own."""

    def score(self, part: Part, target: Path) -> Scored:
        """The part, its bytes in ``target``. Raises OperatorError where it cannot be had, Died to be tried again."""
        ...

    def stop(self) -> None:
        """No more parts are wanted. Called from another thread while one may be answered, which then fails."""
        ...

    def close(self) -> None:
        """Nobody asks any more: gives back what is held."""
        ...


class Died(Exception):
    """Whoever was answering is gone, and the part may be given to another."""

    def __init__(self, how: str, hint: str | None = None) -> None:
        super().__init__(how)
        self.hint = hint


class ScoringFailed(OperatorError):
    """A file cannot be scored; the exit code is that of the reason."""

    code = "scoring_failed"
    title = "Cannot score"

    def __init__(self, detail: str, *, hint: str | None = None, exit_code: int = 65) -> None:
        super().__init__(detail, hint=hint)
        self.exit_code = exit_code


class LocalAnswerer:
    """One process; started when it is first asked, and anew after it died."""

    def __init__(self, begin: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._begin = orjson.dumps(begin) + b"\n"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def score(self, part: Part, target: Path) -> Scored:
        told = self._ask({"part": part.to_document(), "target": str(target)})
        first = told["first_fault"]
        return Scored(part, target, told["rows"], told["faulty"], None if first is None else (first[0], first[1]))

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = self._started()
            self._exchange(self._begin)
        return self._exchange(orjson.dumps(question) + b"\n")

    def _exchange(self, line: bytes) -> dict[str, Any]:
        process = self._process
        assert process is not None  # noqa: S101 - started by the caller
        assert process.stdin is not None  # noqa: S101 - a pipe
        assert process.stdout is not None  # noqa: S101 - a pipe
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = process.stdout.readline()
        except BrokenPipeError:
            reply = b""
        if not reply.endswith(b"\n"):
            self._process = None
            code = _ended(process)
            _release(process)
            raise Died(_how(code), hint="where memory is short, use fewer processes: --processes 1")
        told: dict[str, Any] = orjson.loads(reply)
        if "failed" in told:
            raise ScoringFailed(told["failed"], hint=told["hint"], exit_code=told["exit_code"])
        return told

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise Died("it was stopped")
        # a session of its own: Ctrl-C is for the process that knows where it stands
        return subprocess.Popen(  # noqa: S603  # our own module, by this very interpreter
            [sys.executable, "-m", ENTRY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )

    def stop(self) -> None:
        self._closed = True
        process = self._process
        if process is not None:
            process.terminate()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _release(process)  # it ends with its input
            _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _release(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what it was not told, it need not know any more
                pipe.close()


def _how(code: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"the process that answered {how}"
