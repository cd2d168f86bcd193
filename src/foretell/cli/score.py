"""``foretell score``: a file of any size, row by row, on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from foretell.cli.calling import Calling, CaOption, CertKeyOption, CertOption, InsecureKeyOption, KeyFileOption
from foretell.cli.predicting.place import local_place, server_url, trust
from foretell.cli.report import printable
from foretell.cli.scoring.run import Ended, Told, Wanted, run
from foretell.cli.scoring.server import open_server
from foretell.cli.scoring.work import Done
from foretell.settings import Settings

EX_FAULTY = 3
"""The output is whole, and some of its rows could not be answered."""


class OnBadRow(StrEnum):
    """What becomes of a row that is wrong."""

    NULL = "null"
    SKIP = "skip"
    FAIL = "fail"


def score(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="The rows: .csv, .ndjson, .jsonl, .parquet, .arrow, .feather or .arrows."),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Where rows and answers go, in any of the formats.")],
    *,
    model: Annotated[
        str | None, typer.Option(help="The model's name, or its file or folder. Default: the only one there is.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="The version. Default: the newest.")] = None,
    models: Annotated[Path | None, typer.Option(help="Where models are. Default: FORETELL_MODELS.")] = None,
    server: Annotated[str | None, typer.Option(help="A running server that answers instead of this machine.")] = None,
    ca: CaOption = None,
    cert: CertOption = None,
    cert_key: CertKeyOption = None,
    key_file: KeyFileOption = None,
    insecure_key: InsecureKeyOption = False,
    processes: Annotated[int | None, typer.Option(min=1, help="How many at once. Default: one for each core.")] = None,
    header: Annotated[bool, typer.Option(help="Whether CSV has a header line.")] = True,
    on_error: Annotated[
        OnBadRow, typer.Option(help="A bad row: null gives it an error, skip leaves it out, fail stops.")
    ] = OnBadRow.NULL,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier run has done.")] = False,
) -> None:
    """Score a file of any size, on all cores.

    Every row comes back with its answer, in order. Stopped or killed, the same command goes on where it was: no row is
    lost and none stands twice. Exit code 0: all rows were answered; 3: some are faulty; 65: a row is wrong and
    --on-error is fail; 69: no server answers; 75: an earlier run was another one, or the server has no room; 77: the
    server wants another key.

    [bold]Examples[/]

    foretell score rows.csv scored.csv --model iris --models models

    foretell score rows.ndjson scored.csv --model churn.onnx --on-error skip

    foretell score rows.parquet scored.parquet --model iris --server https://models.example.com --key-file key.txt
    """
    settings, name = Settings.load({"models": models}), model
    place, calling = None, Calling(ca, cert, cert_key, key_file, insecure_key)
    if server is not None:
        address = server_url(settings, server)
        believed = calling.trust(trust(settings, address))
        place = open_server(address, believed, calling.key(address))
    else:
        calling.none("--server URL names one")
        if model is not None:
            settings, name = local_place(settings, model)
    wanted = Wanted(
        source=source,
        target=target,
        model=name,
        version=version,
        server=place,
        header=header,
        on_error=on_error.value,
        processes=processes or len(os.sched_getaffinity(0)),
        restart=restart,
    )
    began_s = time.monotonic()
    try:
        with _progress() as told:
            ended = run(wanted, settings, told)
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the same command goes on from here\n")
        raise typer.Exit(130) from None
    sys.stderr.write(_summary(ended, target, time.monotonic() - began_s))
    if ended.done.faulty:
        raise typer.Exit(EX_FAULTY)


def _summary(ended: Ended, target: Path, took_s: float) -> str:
    done, fresh = ended.done, ended.done.rows - ended.resumed_rows
    before = f", {ended.resumed_rows:,} of them by an earlier run" if ended.resumed_rows else ""
    faulty = f"; {done.faulty:,} faulty" if done.faulty else ""
    speed = f"{took_s:.1f} s, {fresh / max(took_s, 1e-9):,.0f} rows/s"
    return f"{done.rows:,} rows{before}, {speed}{faulty}: {printable(str(target))}\n"


@contextmanager
def _progress() -> Iterator[Told]:
    """A bar with rows a second and the time to go, on a terminal; elsewhere silence."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _size: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, speed="")
        pace = _Pace()

        def told(done: Done, size: int) -> None:
            bar.update(task, completed=done.offset, total=size, speed=pace.shown(done.rows))

        yield told


class _Pace:
    """Rows a second since this run began."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def shown(self, rows: int) -> str:
        """As the bar shows it."""
        now_s = time.monotonic()
        if self._began is None:
            self._began = (now_s, rows)
        since_s = now_s - self._began[0]
        speed = (rows - self._began[1]) / since_s if since_s > 0 else 0.0
        return f"{rows:,} rows, {speed:,.0f} rows/s"
