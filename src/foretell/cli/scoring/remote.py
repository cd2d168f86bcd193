"""A server that scores: each part is one stream, asked for again where the connection breaks or the server is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from foretell.cli.scoring.exchange import Broken, Reply
from foretell.cli.scoring.formats import COLUMNS
from foretell.cli.scoring.local import Died, ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.receiving import Receiving
from foretell.cli.scoring.scorer import Job, Scored
from foretell.cli.scoring.sending import Body, open_source
from foretell.cli.scoring.server import BUSY, EX_UNAVAILABLE, Server, detail_of
from foretell.core.signature import Signature
from foretell.errors import ManifestError, OperatorError

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""What is waited before a part is asked for again after its connection broke."""
BUSY_WAITS_S = (0.5, 1.0, 2.0, 4.0, *[8.0] * 36)
"""What is waited, some five minutes in all, where a server has no room and does not ask for more."""
LONGEST_WAIT_S = 60.0
"""A server that asks to be left alone for longer is: the run stops there, and can go on later."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
EX_TEMPFAIL = 75

Given = TypeVar("Given")


class Busy(Exception):
    """The server has no room at the moment, and may have some ``after_s`` seconds from now."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(detail_of(reply))
        asked = reply.headers.get("retry-after", "").strip()
        # seconds; where it is a moment instead, our own waits are as good
        self.after_s = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0.0


@dataclass(frozen=True, slots=True)
class Remote:
    """A version on a server; ``described`` is its signature as the server tells it."""

    server: Server
    model: str
    version: str
    digest: str
    described: Any = None

    @property
    def path(self) -> str:
        """Where its streams are."""
        return f"/models/{quote(self.model, safe='')}/versions/{quote(self.version, safe='')}/predict/stream"

    def signature(self) -> Signature:
        """What the model takes and gives. Raises OperatorError where the server's words are not understood."""
        try:
            return Signature.from_document(self.described)
        except (ManifestError, AttributeError, TypeError) as error:
            raise OperatorError(
                f"The server describes {self.model} {self.version} in words unknown here: {error}.",
                hint="use the same version of Foretell here as there",
            ) from error


def find_remote(server: Server, model: str, version: str | None) -> Remote:
    """The version that answers, by default the newest that is ready. Raises OperatorError."""
    place = f"/models/{quote(model, safe='')}/versions/{quote(version or 'latest', safe='')}"

    def once() -> bytes:
        found = bytearray()

        def keep(data: bytes) -> None:
            found.extend(data[: MAX_DOCUMENT_BYTES - len(found)])

        reply = server.ask("GET", place, keep)
        _check(server, reply)
        return bytes(found)

    try:
        document = orjson.loads(patiently(once, lambda wait_s: threading.Event().wait(wait_s)))
        if document.get("digest") is None and isinstance(document.get("state"), str):
            raise OperatorError(f"{model} {document.get('version')} is {document['state']} on the server, not ready.")
        return Remote(server, document["model"], document["version"], document["digest"], document.get("signature"))
    except Broken as error:
        raise ScoringFailed(
            f"{server.url} does not answer: {error}.",
            hint="start it with `foretell serve`, or score here without --server; mind http and https",
            exit_code=EX_UNAVAILABLE,
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperatorError(f"{server.url} answers, and not in Foretell's way. Is it Foretell?") from error


def _check(server: Server, reply: Reply) -> None:
    """Raises Busy or ScoringFailed for what is no success."""
    if reply.status in BUSY:
        raise Busy(reply)
    if reply.status != 200:
        raise server.refusal(reply)


def patiently(once: Callable[[], Given], wait: Callable[[float], bool]) -> Given:
    """What ``once`` gives, asked again while the server is busy; ``wait`` waits, and says whether to give up.

    Raises ScoringFailed where the server stays busy, or asks for a longer wait than is reasonable.
    """
    for least_s in (*BUSY_WAITS_S, None):
        try:
            return once()
        except Busy as busy:
            if least_s is None or busy.after_s > LONGEST_WAIT_S or wait(max(least_s, busy.after_s)):
                raise _given_up(busy) from busy
    raise AssertionError("the last try either gave or raised")


def _given_up(busy: Busy) -> ScoringFailed:
    later = f" It asks to wait for {busy.after_s:,.0f} s." if busy.after_s > LONGEST_WAIT_S else ""
    return ScoringFailed(
        f"The server has no room: {busy}{later}",
        hint="the same command goes on from here; --processes asks for fewer parts at a time",
        exit_code=EX_TEMPFAIL,
    )


class RemoteAnswerer:
    """Asks the server for one part at a time."""

    def __init__(self, remote: Remote, job: Job, receiving: Receiving) -> None:
        self._job = job
        self._server = remote.server
        self._receiving = receiving
        self._source = open_source(job)
        self._closed = threading.Event()
        self._path = f"{remote.path}?on_error={job.on_error}&summary=false"
        self._headers = {"content-type": self._source.media_type, "accept": receiving.media_type}

    def score(self, part: Part, target: Path) -> Scored:
        for wait_s in (*WAITS_S, None):
            try:
                return patiently(lambda: self._once(part, target), self._closed.wait)
            except Broken as error:
                if wait_s is None or self._closed.wait(wait_s):
                    raise Died(str(error)) from error
        raise AssertionError("the last try either gave or raised")

    def _once(self, part: Part, target: Path) -> Scored:
        body = self._source.body(part)
        with target.open("wb") as out, closing(self._receiving.answers(out, part, target)) as answers:
            reply = self._server.ask(
                "POST",
                self._path,
                answers.take,
                headers=self._headers,
                body=body.pieces(),
                stopped=self._closed.is_set,
            )
            _check(self._server, reply)
            rows, right = answers.end()
        return self._scored(part, target, body, rows, right)

    def _scored(self, part: Part, target: Path, body: Body, rows: int, right: int) -> Scored:
        asked = body.rows()
        if self._job.on_error == "skip":
            return Scored(part, target, asked, asked - rows)
        if self._job.read_as in COLUMNS and rows != asked:
            raise Broken(f"{rows:,} answers came to {asked:,} rows")
        return Scored(part, target, asked, asked - right)

    def stop(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._source.close()
