"""A table in Markdown, and figures as a reader wants them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.record import Record


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(record: Record, case: str, name: str, form: str = "{:,.0f}") -> str:
    """Empty where it was not measured."""
    row = record.medians.get(case, {})
    return form.format(row[name]) if name in row else ""


def listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
