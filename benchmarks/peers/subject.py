"""A server as it is compared: how it is started, what it is asked, and that its answers are right."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import orjson

from benchmarks.models import Models
from benchmarks.peers.environment import built, recipe
from benchmarks.peers.peer import PEERS, Classes, Rows, predictions
from benchmarks.servers import HOST, NotStartedError, Recipe, Server
from benchmarks.wrk import Load

ROWS = 1000
OURS, TUTORIAL = "foretell", "tutorial"
TIMEOUT_S = 30.0
POLL_S = 0.02


class WrongAnswerError(RuntimeError):
    """A server answers something else than the model says: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """A body, where it is sent, how the answer is read, and the class that the model itself gives each row."""

    path: str
    body: bytes
    classes: Callable[[Any], Classes]
    expected: Classes

    def load(self, server: Server, connections: int) -> Load:
        return Load(server.url(self.path), self.body, connections)

    def check(self, server: Server) -> None:
        """Raises WrongAnswerError unless every row's class is right."""
        status, answer = post(server.port, self.path, self.body)
        said = f"{self.path} answers {status} {answer[:200]!r}"
        if status != 200:
            raise WrongAnswerError(said)
        try:
            classes = self.classes(orjson.loads(answer))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise WrongAnswerError(f"{said}, which cannot be read: {type(error).__name__}") from error
        if classes != self.expected:
            raise WrongAnswerError(f"{said}, which is not what the model says of these rows")


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    how: Recipe
    single: Question
    batch: Question

    def await_answer(self, server: Server) -> None:
        """Returns when one row is answered 200: some are ready before they can. Raises NotStartedError."""
        deadline_s = time.monotonic() + self.how.start_s
        status, answer = None, b""
        while time.monotonic() < deadline_s:
            try:
                status, answer = post(server.port, self.single.path, self.single.body)
            except OSError as error:
                status, answer = None, str(error).encode()
            if status == 200:
                return
            time.sleep(POLL_S)
        said = server.output.read_text(errors="replace")[-400:].strip()
        raise NotStartedError(f"{self.name} is ready but answers {status} {answer[:200]!r}: {said}")


def subject(name: str, models: Models, home: Path) -> Subject:
    """What is compared by that name; ``home`` is for what it keeps of itself. Raises PeerMissingError."""
    one, many = models.iris_rows[:1], repeated(models.iris_rows)
    expected = [int(label) for label in joblib.load(models.iris).predict(many)]
    if name in (OURS, TUTORIAL):
        how = Recipe.foretell(models.iris_only) if name == OURS else Recipe.tutorial(models.iris)
        path, body, batch = "/api/v1/predict", models.single(one), models.batch(models.iris_rows, ROWS)
        single = Question(path, body, lambda answer: [answer["prediction"]], expected[:1])
        return Subject(name, how, single, Question(f"{path}/batch", batch, predictions, expected))
    peer = next(peer for peer in PEERS if peer.name == name)
    single = Question(peer.path, peer.message(one), peer.classes, expected[:1])
    batch_question = Question(peer.path, peer.message(many), peer.classes, expected)
    return Subject(name, recipe(peer, built(peer), home), single, batch_question)


def repeated(rows: Rows) -> Rows:
    return [rows[i % len(rows)] for i in range(ROWS)]


def post(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """The status and the body of one answer, on a connection of its own. Raises OSError where none comes."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no answer: {type(error).__name__}") from error
    finally:
        connection.close()
