"""Keys and the audit trail as people see them, and as programs read them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from foretell.cli.report import printable
from foretell.security.audit import Entry
from foretell.security.keys.record import KeyRecord

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"active": "green", "replaced": "yellow", "expired": "dim", "revoked": "red"}
_ENDED = ("expired", "revoked")


def show_made(record: KeyRecord, key: str, *, as_json: bool, grace: str | None = None) -> None:
    """The new key. Only its text goes to standard output, so that a script can take it from there."""
    if as_json:
        _print({**record.document(time.time()), "key": key})
        return
    aside = _console(stderr=True)
    aside.print(f"[bold]{record.name}[/] [dim]({record.id})[/] {_summary(record)}", soft_wrap=True)
    if grace is not None:
        aside.print(f"[dim]The old key stays valid for {grace}.[/]")
    typer.echo(key)
    aside.print("[yellow]Keep it now: it is not shown again.[/]  [dim]Authorization: Bearer KEY, or X-API-Key: KEY[/]")


def show_table(records: Sequence[KeyRecord], *, everything: bool, as_json: bool) -> None:
    """Every key in a line; those that have ended where ``everything`` is asked for."""
    from rich.table import Table

    now_s = time.time()
    shown = [record for record in records if everything or record.state(now_s) not in _ENDED]
    if as_json:
        _print({"keys": [record.document(now_s) for record in shown]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "id", "state", "scopes", "models", "rates", "expires", "last used"):
        table.add_column(column, overflow="fold")
    for record in shown:
        document = record.document(now_s)
        state = f"[{_COLOURS[document['state']]}]{document['state']}[/]"
        models = "all" if document["models"] is None else ", ".join(document["models"])
        used = _ago(record.used_s, now_s)
        table.add_row(
            record.name, record.id, state, ", ".join(document["scopes"]), models, ", ".join(document["rates"]) or "-",
            "-" if record.revoked_s is not None else _in(record.expires_s, now_s), used,
        )  # fmt: skip
    console = _console()
    console.print(table if shown else "[dim]No keys yet; foretell keys create NAME makes one.[/]")
    hidden = len(records) - len(shown)
    if hidden:
        console.print(f"[dim]{hidden} more ended; --all shows them.[/]")


def show_one(records: Sequence[KeyRecord], *, as_json: bool) -> None:
    """The key in full; of a name that had several, each."""
    from rich.table import Table

    now_s = time.time()
    if as_json:
        _print({"keys": [record.document(now_s) for record in records]})
        return
    for record in records:
        table = Table(box=None, show_header=False, pad_edge=False)
        for field, value in record.document(now_s).items():
            text = ", ".join(value) or "-" if isinstance(value, list) else value
            absent = {"models": "all", "expires": "never", "last_used": "never"}.get(field)
            if text is not None or absent is not None:
                table.add_row(f"[dim]{field.replace('_', ' ')}[/]", absent if text is None else str(text))
        _console().print(table, "")


def show_revoked(records: Sequence[KeyRecord], *, as_json: bool) -> None:
    """What has ended."""
    if as_json:
        _print({"revoked": [record.document(time.time()) for record in records]})
        return
    for record in records:
        _console().print(f"[red]revoked[/] [bold]{record.name}[/] [dim]({record.id})[/]")


def show_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    """The audit trail, the newest first."""
    from rich.markup import escape
    from rich.table import Table

    if as_json:
        for entry in entries:
            _print(entry.document())
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("when", "who", "what", "on", "change", "request"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        document = entry.document()
        cells = [document["at"], document["actor"], document["action"], document["target"], _change(entry)]
        table.add_row(*(escape(printable(cell)) for cell in (*cells, document["request_id"] or "")))
    _console().print(table if entries else "[dim]Nothing was changed yet.[/]")


def _change(entry: Entry) -> str:
    before, after = entry.before or {}, entry.after or {}
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if entry.before is None:
        changed = [name for name in changed if name in ("scopes", "models", "rates", "expires") and after[name]]
    return (
        "; ".join(f"{name}: {_text(before, name)} -> {_text(after, name)}" for name in changed)
        if before
        else ("; ".join(f"{name}: {_text(after, name)}" for name in changed))
    )


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return "-" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _summary(record: KeyRecord) -> str:
    document = record.document(time.time())
    parts = [f"may {', '.join(document['scopes'])}"]
    parts.append("of all models" if record.models is None else f"of {', '.join(document['models'])}")
    parts += [str(rate) for rate in record.rates]
    parts.append("for good" if record.expires_s is None else f"until {document['expires']}")
    return "; ".join(parts)


def _in(moment_s: float | None, now_s: float) -> str:
    if moment_s is None:
        return "never"
    return f"in {_length(moment_s - now_s)}" if moment_s > now_s else f"{_length(now_s - moment_s)} ago"


def _ago(moment_s: float | None, now_s: float) -> str:
    return "never" if moment_s is None else f"{_length(max(0.0, now_s - moment_s))} ago"


def _length(seconds: float) -> str:
    for unit, length_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length_s:
            return f"{round(seconds / length_s)} {unit}"
    return f"{round(seconds)} s"


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _print(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
