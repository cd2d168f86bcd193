"""``foretell usage``: who used how much."""

from __future__ import annotations

from typing import Annotated

import typer


def usage(
    *,
    since: Annotated[
        str, typer.Option(help="From which day on: a date, or how long ago (2026-11-01, 90d). Days are in UTC.")
    ] = "30d",
    until: Annotated[str | None, typer.Option(help="Until which day, that one included. Default: today.")] = None,
    key: Annotated[str | None, typer.Option(help="Of one key, by its name, or of one principal. Default: all.")] = None,
    model: Annotated[str | None, typer.Option(help="Of one model. Default: all.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, a line per day, key and model.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document per line on standard output, per day, key and model.")
    ] = False,
) -> None:
    """Show who used how much of which model.

    Counted are requests and rows that were answered with success, per key and model. A running server adds to
    them every ten seconds.

    [bold]Examples[/]

    foretell usage --since 2026-11-01 --until 2026-11-30 --csv > november.csv

    foretell usage --key partner-x --since 7d
    """
    import sys
    import time

    from foretell.cli.access.asked import read_since
    from foretell.cli.access.place import opened
    from foretell.cli.access.used import show_table
    from foretell.errors import KeyFault
    from foretell.security.usage.ledger import Ledger, day_of
    from foretell.security.usage.table import csv_lines, json_lines

    if csv and json:
        raise KeyFault("--csv and --json exclude each other.")
    last_s = time.time() if until is None else read_since(until, "--until")
    with opened() as store:
        entries = Ledger(store.database).entries(day_of(read_since(since)), day_of(last_s), key or "", model or "")
        if csv or json:
            for line in (csv_lines if csv else json_lines)(entries):
                sys.stdout.write(line)
        else:
            show_table(entries)
