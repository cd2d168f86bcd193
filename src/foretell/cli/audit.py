"""``foretell audit``: who changed what."""

from __future__ import annotations

from typing import Annotated

import typer


def audit(
    *,
    since: Annotated[
        str | None, typer.Option(help="From when on: a date, a time, or how long ago (2026-11-20, 24h). Default: ever.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most entries to show, the newest first.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="One JSON document per line on standard output.")] = False,
) -> None:
    """Show who changed keys and access.

    Every change stands in the audit trail with who made it, and what it was before; nothing is ever removed.

    [bold]Examples[/]

    foretell audit --since 24h

    foretell audit --limit 10000 --json
    """
    from foretell.cli.access.asked import read_since
    from foretell.cli.access.place import opened
    from foretell.cli.access.shown import show_entries
    from foretell.security.audit import MOST_ENTRIES, Entry

    since_s = 0.0 if since is None else read_since(since)
    entries: list[Entry] = []
    with opened() as store:
        while len(entries) < limit:
            before = entries[-1].id if entries else None
            found = store.trail.page(since_s=since_s, before_id=before, limit=min(MOST_ENTRIES, limit - len(entries)))
            if not found:
                break
            entries += found
    show_entries(entries, as_json=json)
