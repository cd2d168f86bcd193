"""Many answerers over one file: parts go out as they are free, and come back in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from foretell.cli.scoring.local import Answerer, Died, ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Scored

AHEAD = 4
"""Parts for each answerer that may be done, or in work, before the next one in order is: so much disk is used."""
TRIES = 3


class Pool:
    """Answers the parts of one file. ``target`` says where the bytes of a part go."""

    def __init__(self, answerers: Sequence[Answerer], parts: Iterator[Part], target: Callable[[Part], Path]) -> None:
        self._answerers = answerers
        self._parts = parts
        self._target = target
        self._changed = threading.Condition()
        self._done: dict[int, Scored] = {}
        self._given = 0
        self._first: int | None = None
        self._next = 0
        self._exhausted = False
        self._failure: BaseException | None = None

    def scored(self) -> Iterator[Scored]:
        """Every part, in order. Raises what went wrong first; then nothing goes on."""
        threads = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in self._answerers]
        for thread in threads:
            thread.start()
        ended = False
        try:
            while (found := self._following()) is not None:
                yield found
            ended = True
        finally:
            with self._changed:
                self._exhausted = True
                self._changed.notify_all()
            for answerer in [] if ended else self._answerers:
                answerer.stop()
            for thread in threads:
                thread.join()
            for answerer in self._answerers:
                answerer.close()

    def _following(self) -> Scored | None:
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                if self._first is not None and self._next in self._done:
                    self._next += 1
                    self._changed.notify_all()
                    return self._done.pop(self._next - 1)
                if self._exhausted and self._next == (self._first or 0) + self._given:
                    return None
                self._changed.wait()

    def _work(self, answerer: Answerer) -> None:
        try:
            while (part := self._take()) is not None:
                scored = self._tried(answerer, part)
                with self._changed:
                    self._done[part.index] = scored
                    self._changed.notify_all()
        except BaseException as error:  # whatever it is, the thread that waits has to hear of it
            with self._changed:
                self._failure = self._failure or error
                self._exhausted = True
                self._changed.notify_all()

    def _take(self) -> Part | None:
        with self._changed:
            while not self._exhausted and self._ahead() >= AHEAD * len(self._answerers):
                self._changed.wait()
            part = None if self._exhausted else next(self._parts, None)
            if part is None:
                self._exhausted = True
                self._changed.notify_all()
                return None
            if self._first is None:
                self._first = self._next = part.index
            self._given += 1
            return part

    def _ahead(self) -> int:
        return (self._first or 0) + self._given - self._next

    def _tried(self, answerer: Answerer, part: Part) -> Scored:
        for attempt in range(TRIES):
            try:
                return answerer.score(part, self._target(part))
            except Died as error:
                if attempt == TRIES - 1 or self._exhausted:
                    raise ScoringFailed(
                        f"Part {part.index + 1} was given up after {attempt + 1} tries: {error}.",
                        hint=error.hint,
                        exit_code=70,
                    ) from error
        raise AssertionError("the last try either gave or raised")
