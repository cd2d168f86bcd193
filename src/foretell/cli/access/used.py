"""Usage as people see it."""

from __future__ import annotations

from collections.abc import Iterable

from foretell.cli.report import printable
from foretell.core.access.rates import UNITS
from foretell.security.usage.ledger import Entry


def show_table(entries: Iterable[Entry]) -> None:
    """What each principal used of each model, all days together, with the first and the last of them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    sums: dict[tuple[str, str, str], dict[str, int]] = {}
    days: dict[tuple[str, str, str], tuple[str, str]] = {}
    for entry in entries:
        line = entry.principal, entry.tenant, entry.model
        amounts = sums.setdefault(line, {})
        for unit, amount in entry.amounts.items():
            amounts[unit] = amounts.get(unit, 0) + amount
        days[line] = days.get(line, (entry.day, ""))[0], entry.day
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("who", "tenant", "model", "from", "to"):
        table.add_column(column, overflow="fold")
    for unit in UNITS:
        table.add_column(unit, justify="right")
    for line, amounts in sorted(sums.items()):
        cells = [escape(printable(text)) or "-" for text in (*line, *days[line])]
        table.add_row(*cells, *(f"{amounts.get(unit, 0):,}" for unit in UNITS))
    Console(highlight=False).print(table if sums else "[dim]Nothing was used in these days.[/]")
