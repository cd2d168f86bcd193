"""``foretell predict``: the rows of a file, by a running server or straight from a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from foretell.cli.calling import Calling, CaOption, CertKeyOption, CertOption, InsecureKeyOption, KeyFileOption
from foretell.cli.predicting import doors
from foretell.cli.predicting.answers import CsvOutput, JsonOutput, Output, TableOutput
from foretell.cli.predicting.doors import Door, Wanted
from foretell.cli.predicting.place import local_place, server_url, trust
from foretell.cli.predicting.rows import Slice, read
from foretell.errors import BodyTooLarge, OperatorError
from foretell.settings import Settings


class Form(StrEnum):
    """How answers are shown."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def predict(
    model: Annotated[str, typer.Argument(help="The model's name; with --local also its file or folder.")],
    data: Annotated[str, typer.Option(help="CSV, JSON or JSON lines; - reads standard input.")],
    *,
    version: Annotated[str | None, typer.Option(help="The version. Default: the newest that is ready.")] = None,
    url: Annotated[str | None, typer.Option(help="The server. Default: host and port of the settings.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Without a server, straight from the folder.")] = False,
    models: Annotated[
        Path | None, typer.Option(help="Where models are, for --local. Default: FORETELL_MODELS.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Also the best K classes.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also every class's probability.")] = False,
    drop: Annotated[list[str] | None, typer.Option(help="A column to leave out, such as the target.")] = None,
    header: Annotated[bool, typer.Option(help="Whether CSV has a header line.")] = True,
    ca: CaOption = None,
    cert: CertOption = None,
    cert_key: CertKeyOption = None,
    key_file: KeyFileOption = None,
    insecure_key: InsecureKeyOption = False,
    output: Annotated[Form | None, typer.Option(help="Default: table on a terminal, else csv.")] = None,
) -> None:
    """Predict the rows of a file, by a running server or straight from a folder."""
    settings = Settings.load({"models": models})
    calling = Calling(ca, cert, cert_key, key_file, insecure_key)
    if local:
        calling.none("leave out --local to call one")
        settings, name = local_place(settings, model)
        door: AbstractContextManager[Door] = doors.local(settings)
    else:
        address = server_url(settings, url)
        believed = calling.trust(trust(settings, address))
        door, name = doors.remote(address, believed, calling.key(address)), model
    shown = _output(output)
    wanted = Wanted(name, version, top_k, probabilities, shown.accept)
    slices = read(data, settings.limits.max_batch_rows, header=header, drop=drop or ())
    with _progress(quiet=isinstance(shown, TableOutput)) as count, door as opened:
        empty = True
        for rows in slices:
            empty = False
            for part, answer in answers(opened, rows, wanted):
                shown.write(part, answer)
                count.add(len(part.rows))
    if empty:
        raise OperatorError(f"{data} has no rows.", hint="a CSV file without a header line needs --no-header")
    shown.close()


def answers(door: Door, rows: Slice, wanted: Wanted) -> Iterator[tuple[Slice, bytes]]:
    """The answers to a slice in order, in as many requests as the server's limits ask for."""
    try:
        yield rows, door.predict(rows, wanted)
    except BodyTooLarge:
        if len(rows.rows) < 2:
            raise
        for half in rows.halves():
            yield from answers(door, half, wanted)


def _output(form: Form | None) -> Output:
    form = form or (Form.TABLE if sys.stdout.isatty() else Form.CSV)
    if form is Form.TABLE:
        return TableOutput(Console(highlight=False))
    return CsvOutput(sys.stdout) if form is Form.CSV else JsonOutput(sys.stdout)


class _Counter:
    """Rows done, shown on a terminal."""

    def __init__(self, status: object = None) -> None:
        self._status = status
        self._rows = 0

    def add(self, rows: int) -> None:
        self._rows += rows
        if self._status is not None:
            self._status.update(f"{self._rows:,} rows")  # type: ignore[attr-defined]


@contextmanager
def _progress(*, quiet: bool) -> Iterator[_Counter]:
    console = Console(stderr=True)
    shown = console.is_terminal and (quiet or not sys.stdout.isatty())
    with console.status("predicting") if shown else nullcontext() as status:
        yield _Counter(status)
