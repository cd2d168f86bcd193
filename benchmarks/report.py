"""The results for people: the figures, then every floor with what was reached."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.bench import Results
from benchmarks.floors import Floor

COLUMNS = {
    "per_s": ("per second", "{:,.0f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "max_ms": ("longest ms", "{:.1f}"),
    "offered_per_s": ("offered", "{:,.0f}"),
    "refused_ms": ("refusal ms", "{:.1f}"),
    "refused_share": ("refused", "{:.0%}"),
    "failed": ("failed", "{:,.0f}"),
    "behind_ms": ("behind ms", "{:.1f}"),
    "cpu_us": ("CPU µs each", "{:.1f}"),
    "start_s": ("seconds", "{:.2f}"),
    "growth_mib": ("MiB more", "{:.0f}"),
    "memory_mib": ("MiB", "{:.0f}"),
}


def show(console: Console, results: Results, floors: Sequence[Floor]) -> None:
    console.print(figures(results))
    if any(floor.measure(results) is not None for floor in floors):
        console.print(promises(results, floors))


def figures(results: Results) -> Table:
    used = [name for name in COLUMNS if any(name in row for row in results.values())]
    table = Table(title="Medians", title_justify="left", header_style="bold")
    table.add_column("case", no_wrap=True)
    for name in used:
        table.add_column(COLUMNS[name][0], justify="right")
    group = ""
    for case, row in results.items():
        if group and case.partition("/")[0] != group:
            table.add_section()
        group = case.partition("/")[0]
        table.add_row(case, *(COLUMNS[name][1].format(row[name]) if name in row else "" for name in used))
    return table


def promises(results: Results, floors: Sequence[Floor]) -> Table:
    table = Table(title="Floors", title_justify="left", header_style="bold")
    table.add_column("floor", no_wrap=True)
    table.add_column("wanted", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("")
    for floor in floors:
        value = floor.measure(results)
        if value is not None:
            verdict = "[green]met[/]" if floor.met(value) else "[red]short[/]"
            table.add_row(floor.name, f"{floor.sense} {floor.bound:g}", f"{value:.2f}", verdict)
    return table
