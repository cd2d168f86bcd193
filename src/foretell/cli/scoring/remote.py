"""A server that scores: each part is one stream, asked for again where the connection breaks or the server is busy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from foretell.cli.scoring.exchange import Broken, exchange
from foretell.cli.scoring.local import Died, ScoringFailed
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Job, Scored
from foretell.codecs.stream.base import StreamLimits
from foretell.codecs.stream.lines import Lines
from foretell.core.limits import BodyLimits
from foretell.errors import OperatorError

MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
_SEND_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Remote:
    """A version on a server. ``url`` is that of the server with its prefix."""

    url: str
    model: str
    version: str
    digest: str


def find_remote(url: str, model: str, version: str | None) -> Remote:
    """The version that answers, by default the newest that is ready. Raises OperatorError."""
    found = bytearray()
    place = f"{url}/models/{model}/versions/{version or 'latest'}"
    try:
        status, problem = exchange("GET", place, {}, None, found.extend)
    except Broken as error:
        raise OperatorError(
            f"{url} does not answer: {error}.", hint="start it with `foretell serve`, or score here without --server"
        ) from error
    if status != 200:
        raise OperatorError(_detail(status, problem))
    try:
        document = orjson.loads(bytes(found))
        return Remote(url, document["model"], document["version"], document["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(f"{url} answers, and not in Foretell's way. Is it Foretell?") from error


def _detail(status: int, problem: bytes) -> str:
    try:
        return str(orjson.loads(problem)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {status}, and not in Foretell's way. Is it Foretell?"


class RemoteAnswerer:
    """Asks the server for one part at a time."""

    def __init__(self, remote: Remote, job: Job) -> None:
        self._job = job
        self._closed = threading.Event()
        base = f"{remote.url}/models/{remote.model}/versions/{remote.version}/predict/stream"
        self._url = f"{base}?on_error={job.on_error}&summary=false"
        header = f"; header={'present' if job.head else 'absent'}" if job.read_as == "csv" else ""
        self._headers = {
            "content-type": MEDIA_TYPES[job.read_as] + header,
            "accept": MEDIA_TYPES[job.write_as],
        }

    def score(self, part: Part, target: Path) -> Scored:
        for wait_s in (*WAITS_S, None):
            try:
                return self._once(part, target)
            except Broken as error:
                if wait_s is None or self._closed.wait(wait_s):
                    raise Died(str(error)) from error
        raise AssertionError("the last try either gave or raised")

    def _once(self, part: Part, target: Path) -> Scored:
        given = Lines(StreamLimits(BodyLimits(), self._job.row_bytes), quoted=self._job.read_as == "csv")
        with target.open("wb") as out:
            counted = _Counted(out, self._job, part)
            status, problem = exchange("POST", self._url, self._headers, self._body(part, given), counted.take)
            rows, right = counted.end()
        if status == 200:
            asked = _count(given) - (self._job.head > 0)
            return Scored(part, target, asked, asked - rows if self._job.on_error == "skip" else asked - right)
        if status in (429, 502, 503, 504):
            raise Broken(_detail(status, problem))
        raise ScoringFailed(_detail(status, problem), exit_code=65 if status < 500 else 70)

    def _body(self, part: Part, given: Lines) -> Iterator[bytes]:
        """The part as a file of its own: with the header, whichever part it is."""
        with Path(self._job.source).open("rb") as file:
            for start, stop in ((0, self._job.head), (max(part.start, self._job.head), part.stop)):
                for position in range(start, stop, _SEND_BYTES):
                    piece = os.pread(file.fileno(), min(_SEND_BYTES, stop - position), position)
                    given.feed(piece)
                    yield piece

    def stop(self) -> None:
        self._closed.set()

    def close(self) -> None:
        """Holds nothing."""


class _Counted:
    """Answers on their way into the part's file, counted. The header is kept by the first part alone."""

    def __init__(self, out: BinaryIO, job: Job, part: Part) -> None:
        self._out = out
        self._lines = Lines(StreamLimits(BodyLimits(), 2 * job.row_bytes), quoted=job.write_as == "csv")
        self._csv = job.write_as == "csv"
        self._head = b"" if self._csv and part.index > 0 else None
        self._skip = self._csv
        self._rows = self._right = 0

    def take(self, data: bytes) -> None:
        self._lines.feed(data)
        self._count(flush=False)
        if self._head is None:
            self._out.write(data)
            return
        self._head += data
        # a header of ours is one record; its own quoted line ends count in pairs
        stop = -1
        while (stop := self._head.find(b"\n", stop + 1)) != -1:
            if self._head.count(b'"', 0, stop) % 2 == 0:
                self._out.write(self._head[stop + 1 :])
                self._head = None
                return

    def end(self) -> tuple[int, int]:
        """Rows, and those without a fault."""
        self._lines.end()
        self._count(flush=True)
        return self._rows, self._right

    def _count(self, *, flush: bool) -> None:
        while (raw := self._lines.take(flush=flush)) is not None:
            lines: Any = raw.rows
            if self._skip:
                lines, self._skip = lines[1:], False
            self._rows += len(lines)
            self._right += sum([_right(line, csv=self._csv) for line in lines])


def _right(line: bytes, *, csv: bool) -> bool:
    if csv:
        return line.endswith(b",")
    return not (b'"prediction":null,"error":' in line and orjson.loads(line).get("error") is not None)


def _count(given: Lines) -> int:
    given.end()
    count = 0
    while (raw := given.take(flush=True)) is not None:
        count += raw.count
    return count
