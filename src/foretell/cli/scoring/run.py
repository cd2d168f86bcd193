"""One run: a plan, what of it is done already, and the rest of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from foretell.cli.scoring.column_files import PART_ROWS, column_parts, open_columns
from foretell.cli.scoring.formats import COLUMNS, finished, format_of
from foretell.cli.scoring.local import Answerer, LocalAnswerer, ScoringFailed
from foretell.cli.scoring.parts import PART_BYTES, Part, header_end, text_parts
from foretell.cli.scoring.pool import Pool
from foretell.cli.scoring.receiving import Receiving, line_columns
from foretell.cli.scoring.remote import RemoteAnswerer, find_remote
from foretell.cli.scoring.scorer import CALL_ROWS, Job, Scored
from foretell.cli.scoring.server import Server
from foretell.cli.scoring.version import find_version, open_source
from foretell.cli.scoring.work import Done, Work, open_work
from foretell.codecs.stream.base import OnError
from foretell.errors import OperatorError, PathMissing
from foretell.settings import Settings
from foretell.settings_reading import without_settings

STREAM_ROWS = 128 * 1024
"""Rows of a part that a server answers: of a stream that breaks no more than that is sent again."""
Told = Callable[[Done, int], None]
"""Told how far the run has come, and the size of the input, whenever a part is done."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. Without a ``server`` the model is loaded here."""

    source: Path
    target: Path
    model: str | None
    version: str | None = None
    server: Server | None = None
    header: bool = True
    on_error: OnError = "null"
    processes: int = 1
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is finished. ``resumed_rows`` of its rows were there before."""

    done: Done
    resumed_rows: int


def run(wanted: Wanted, settings: Settings, told: Told) -> Ended:
    """Scores a file, or goes on with it. Raises OperatorError, ArtifactError, KeyboardInterrupt; what is done stays."""
    source, target = wanted.source, wanted.target
    read_as, write_as = format_of(source), format_of(target)
    try:
        file = os.open(source, os.O_RDONLY)
    except FileNotFoundError:
        raise PathMissing(f"{source} does not exist.") from None
    except OSError as error:
        raise OperatorError(f"{source} cannot be read: {error.strerror}.") from error
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            raise OperatorError(
                f"{source} is no file that can be read in parts.", hint="write the rows to a file first"
            )
        head = header_end(file, before.st_size) if read_as == "csv" and wanted.header else 0
        job = Job(
            source=str(source.absolute()),
            read_as=read_as,
            write_as=write_as,
            head=head,
            on_error=wanted.on_error,
            row_bytes=settings.limits.max_row_bytes,
        )
        answering, version = _answerers(wanted, settings, job)
        plan = _plan(wanted, job, before, version)
        with open_work(target, plan, restart=wanted.restart) as work:
            resumed_rows = work.done.rows
            parts, size = _parts(wanted, job, file, before.st_size, work.done)
            told(work.done, size)
            pool = Pool(answering, parts, lambda part: work.part_path(part.index))
            _collect(pool, work, wanted, told, size)
            _check_unchanged(source, before)
            work.checkpoint()
            work.finish(finished(work.rows, write_as))
            return Ended(work.done, resumed_rows)
    finally:
        os.close(file)


def _parts(wanted: Wanted, job: Job, file: int, size: int, done: Done) -> tuple[Iterator[Part], int]:
    """The parts that are left, and how much there is in all: bytes of text, rows of columns."""
    if job.read_as in COLUMNS:
        with open_columns(Path(job.source), job.read_as) as opened:
            return column_parts(opened.groups, done.parts, _part_rows(wanted)), sum(opened.groups)
    return text_parts(file, size, quoted=job.read_as == "csv", first=done.parts, start=done.offset), size


def _part_rows(wanted: Wanted) -> int | None:
    """The most rows of a part of a file of columns; None: as many as such parts have."""
    return None if wanted.server is None else STREAM_ROWS


def _collect(pool: Pool, work: Work, wanted: Wanted, told: Told, size: int) -> None:
    try:
        for scored in pool.scored():
            if wanted.on_error == "fail" and scored.first_fault is not None:
                raise _bad_row(work.done.rows, scored)
            work.append(scored)
            told(work.done, size)
    except BaseException:
        work.checkpoint()
        raise


def _bad_row(rows: int, scored: Scored) -> ScoringFailed:
    assert scored.first_fault is not None  # noqa: S101 - the caller has looked
    row, text = scored.first_fault
    return ScoringFailed(
        f"Row {rows + row + 1} is wrong: {text}.", hint="--on-error null gives bad rows an error, skip leaves them out"
    )


def _answerers(wanted: Wanted, settings: Settings, job: Job) -> tuple[Sequence[Answerer], dict[str, Any]]:
    """Who answers, as many as asked for, and the version that does, as the plan names it."""
    if wanted.server is not None:
        return _remote_answerers(wanted, wanted.server, job)
    found, digest = find_version(open_source(settings), wanted.model, wanted.version)
    begin = {
        "settings": settings.export(),
        "job": msgspec.to_builtins(job),
        "model": found.ref.model,
        "version": found.ref.version,
        "digest": digest,
    }
    environment = without_settings(os.environ)
    answerers = [LocalAnswerer(begin, environment) for _ in range(wanted.processes)]
    return answerers, {"model": str(found.ref), "digest": digest}


def _remote_answerers(wanted: Wanted, server: Server, job: Job) -> tuple[Sequence[Answerer], dict[str, Any]]:
    if wanted.model is None:
        raise OperatorError("A server has many models; say which.", hint="--model NAME")
    if job.on_error == "fail":
        raise OperatorError("--on-error fail needs the model here.", hint="--on-error null or skip, with a server")
    remote = find_remote(server, wanted.model, wanted.version)
    label = f"{remote.model} {remote.version}"
    # lines have no header: which columns the output has is told by the file's first rows, for all parts
    lines = job.read_as == "ndjson" and job.write_as != "ndjson"
    receiving = Receiving(job, line_columns(job, remote.signature(), label) if lines else None)
    answerers = [RemoteAnswerer(remote, job, receiving) for _ in range(wanted.processes)]
    return answerers, {"server": server.url, "model": label, "digest": remote.digest}


def _plan(wanted: Wanted, job: Job, before: os.stat_result, version: dict[str, Any]) -> dict[str, Any]:
    from importlib.metadata import version as installed

    return {
        "input": job.source,
        "input size": before.st_size,
        "input time": before.st_mtime_ns,
        "formats": f"{job.read_as} to {job.write_as}",
        "header": wanted.header,
        "--on-error": job.on_error,
        **version,
        "foretell": installed("foretell"),
        "part size": [PART_BYTES, _part_rows(wanted) or PART_ROWS],
        "call size": CALL_ROWS,
    }


def _check_unchanged(source: Path, before: os.stat_result) -> None:
    after = source.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise OperatorError(f"{source} was changed while it was read; what was made of it is not kept as an output.")
