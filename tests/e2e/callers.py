"""Callers who come at random moments and know what is right, in a process of their own: an open load, each answer held.

`python -m tests.e2e.callers PORT PATH FOLDER RATE` asks until its standard input closes, then leaves in the folder what
came of each request. Times count from when a request was due (`benchmarks.openloop` says why). RATE 0 asks as fast as
it is answered, which tells how much the server can.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.e2e.client import message

if TYPE_CHECKING:
    from tests.e2e.models import Model

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
REPEATED = 50
FRESH = 20_000
PATIENCE_S = 30.0
TOLD = 20
RIGHT, WRONG, FAILED = 0, 1, 2


class Asked(NamedTuple):
    """A question that was due at some time, and how late the callers were with it."""

    question: Question
    due_s: float
    behind_s: float


class Question(NamedTuple):
    """A request, and what the model itself says to it."""

    request: bytes
    prediction: Any
    probability: list[float]

    def judged(self, status: int, body: bytes) -> int:
        if status != 200:
            return FAILED
        said = json.loads(body)
        near = zip(said["probability"], self.probability, strict=True)
        right = said["prediction"] == self.prediction and all(abs(a - b) <= 1e-12 + 1e-9 * b for a, b in near)
        return RIGHT if right else WRONG


@dataclass(frozen=True, eq=False)
class Answers:
    """What came, by when it was due on the clock ``time.monotonic``. ``told`` are the first that were not right.

    ``behind_s``: how late the callers' own process was; where that is much, the times say nothing of the server.
    """

    due_s: NDArray[np.float64]
    took_s: NDArray[np.float64]
    behind_s: NDArray[np.float64]
    verdicts: NDArray[np.int64]
    told: str

    def within(self, since_s: float, until_s: float) -> Answers:
        """Those that were due in that time."""
        chosen = (self.due_s >= since_s) & (self.due_s < until_s)
        return Answers(self.due_s[chosen], self.took_s[chosen], self.behind_s[chosen], self.verdicts[chosen], self.told)

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def wrong(self) -> int:
        return int((self.verdicts == WRONG).sum())

    @property
    def failed(self) -> int:
        return int((self.verdicts == FAILED).sum())

    @property
    def p99_ms(self) -> float:
        return float(np.percentile(self.took_s, 99)) * 1e3

    @property
    def behind_p99_ms(self) -> float:
        return float(np.percentile(self.behind_s, 99)) * 1e3


@contextmanager
def callers(port: int, path: str, folder: Path, rate: float) -> Iterator[list[Answers]]:
    """Asks what ``write_questions`` left in the folder while the block runs; afterwards the list holds the answers."""
    came: list[Answers] = []
    command = [sys.executable, "-m", "tests.e2e.callers", str(port), path, str(folder), str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield came
            _, told = process.communicate(timeout=PATIENCE_S * 2)
        finally:
            process.kill()
    assert process.returncode == 0, told.decode()
    due_s, took_s, behind_s, verdicts = np.load(folder / "answers.npy")
    came.append(Answers(due_s, took_s, behind_s, verdicts.astype(np.int64), told.decode()))


def write_questions(model: Model, folder: Path) -> None:
    """Rows like the model's own, the first few of which are asked again and again, with the model's own answers."""
    chance = np.random.default_rng(11)
    rows = model.take(REPEATED + FRESH)
    rows = np.abs(rows + chance.normal(scale=0.05, size=rows.shape))
    columns = (model.lists(rows), model.predictions(rows), model.probabilities(rows).tolist())
    (folder / "questions.json").write_text(json.dumps(list(zip(*columns, strict=True))))


def read_questions(folder: Path, path: str) -> list[Question]:
    def asked(row: Sequence[float]) -> bytes:
        return message("POST", path, json.dumps({"features": row}).encode(), {"Content-Type": "application/json"})

    written = json.loads((folder / "questions.json").read_text())
    return [Question(asked(row), prediction, probability) for row, prediction, probability in written]


@dataclass
class Crowd:
    """The callers, and what they were answered. Every second question is one that was asked before."""

    questions: list[Question]
    hasty: bool
    over: asyncio.Event = field(default_factory=asyncio.Event)
    idle: deque[Caller] = field(default_factory=deque)
    waiting: deque[Asked] = field(default_factory=deque)
    came: list[tuple[float, float, float, int]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    asked: int = 0
    told: int = 0

    def ask(self, due_s: float) -> None:
        """One more is due."""
        self.asked += 1
        which = REPEATED + self.asked % FRESH if self.chance.random() < 0.5 else self.chance.randrange(REPEATED)
        asked = Asked(self.questions[which], due_s, time.monotonic() - due_s)
        if self.idle:
            self.idle.popleft().ask(asked)
        else:
            self.waiting.append(asked)

    def answered(self, asked: Asked, status: int, body: bytes) -> None:
        took_s = time.monotonic() - asked.due_s
        verdict = asked.question.judged(status, body)
        if verdict != RIGHT and self.told < TOLD:
            self.told += 1
            print(status, body[:300], asked.question, file=sys.stderr)  # noqa: T201
        self.came.append((asked.due_s, took_s, asked.behind_s, verdict))

    def free(self, caller: Caller) -> None:
        if self.waiting:
            caller.ask(self.waiting.popleft())
            return
        self.idle.append(caller)
        if self.hasty and not self.over.is_set():
            self.ask(time.monotonic())


class Caller(asyncio.Protocol):
    """One connection, which asks one thing at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""
        self._asked: Asked | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, asked: Asked) -> None:
        self._asked = asked
        self._transport.write(asked.question.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if found and len(body) >= length:
            self._buffer = body[length:]
            self._end(int(head.split(b" ", 2)[1]), body[:length])
            self._crowd.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._crowd.idle:
            self._crowd.idle.remove(self)
        self._end(0, repr(exc).encode())

    def _end(self, status: int, body: bytes) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            self._crowd.answered(asked, status, body)


async def ask_all(port: int, path: str, folder: Path, rate: float) -> None:
    loop = asyncio.get_running_loop()
    crowd = Crowd(read_questions(folder, path), hasty=rate == 0)

    def leave() -> None:
        loop.remove_reader(sys.stdin.fileno())
        crowd.over.set()

    loop.add_reader(sys.stdin.fileno(), leave)
    for _ in range(CONNECTIONS):
        _, caller = await loop.create_connection(lambda: Caller(crowd), "127.0.0.1", port)
        crowd.free(caller)
    due_s = time.monotonic()
    while not crowd.over.is_set() and not crowd.hasty:
        due_s += crowd.chance.expovariate(rate)
        if (ahead_s := due_s - time.monotonic()) > 0:
            await asyncio.sleep(ahead_s)
        crowd.ask(due_s)
    await crowd.over.wait()
    give_up_s = time.monotonic() + PATIENCE_S
    while len(crowd.came) < crowd.asked and time.monotonic() < give_up_s:  # noqa: ASYNC110  # no event for each answer
        await asyncio.sleep(0.01)
    unanswered = [(give_up_s, PATIENCE_S, 0.0, FAILED)] * (crowd.asked - len(crowd.came))
    np.save(folder / "answers.npy", np.array(crowd.came + unanswered).reshape(-1, 4).T)


if __name__ == "__main__":
    gc.disable()  # a collection would be told as the server's delay
    asyncio.run(ask_all(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])))
