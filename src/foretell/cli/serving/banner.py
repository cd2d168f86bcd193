"""What is said once the server answers: a table for people on a terminal, one structured line otherwise."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from foretell.cli.serving.address import url
from foretell.cli.serving.certificate import tls_files
from foretell.security.posture import FACTS, posture
from foretell.security.report import summary
from foretell.settings import Settings

_log = structlog.get_logger("foretell.serve")


def announce(settings: Settings, bound: socket.socket, state: Mapping[str, Any]) -> None:
    """Says what a server that is ready now serves, where, and how it is secured. ``state`` is the lifespan's."""
    services, facts = state["services"], state[FACTS]()
    files = tls_files(settings) if settings.tls.self_signed else None
    Banner(
        settings,
        services.service.catalog,
        url(bound, facts.leaf),
        services.lane is not None,
        summary(settings, facts, posture(settings, facts)),
        None if files is None else files.cert,
        services.keys.admin_file,
    ).show()


@dataclass(frozen=True)
class Banner:
    """Who answers, where, how it is secured, and a line to try it with. ``catalog`` is the lifecycle's.

    ``certificate`` is a self-signed one, which a caller has to be told of; in ``admin_file`` lies the admin's key,
    which itself is never shown.
    """

    settings: Settings
    catalog: Any
    url: str
    lane: bool
    security: Mapping[str, Any] | None = None
    certificate: Path | None = None
    admin_file: Path | None = None

    def show(self) -> None:
        """To the terminal where there is one, else to the log."""
        if sys.stdout.isatty() and self.settings.log.format != "json":
            self.draw()
        else:
            self.log()

    def log(self) -> None:
        """One event with the same facts, and one on security."""
        _log.info(
            "serving",
            url=self.url,
            docs=self.docs_url,
            models=", ".join(str(entry.ref) for entry in self._entries(served=True)) or None,
            failed=", ".join(str(entry.ref) for entry in self._entries(served=False)) or None,
            default_model=self.catalog.default_model,
            workers=self.settings.workers,
            lane=self.lane,
            admin_key=None if self.admin_file is None else str(self.admin_file),
        )
        if self.security is not None:
            _log.info("security", **self.security)

    def draw(self) -> None:
        """The table, the addresses and the line to try."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        console = Console(highlight=False)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("model", "version", "state", "runtime", "mode"):
            table.add_column(column)
        for entry in self.catalog.entries:
            servable = entry.servable
            state = "[green]ready[/]" if servable is not None else f"[red]{entry.state}[/]"
            runtime, mode = ("", "") if servable is None else (servable.runtime, servable.executor.mode)
            table.add_row(escape(entry.ref.model), escape(entry.ref.version), state, runtime, mode)
        console.print(f"\n[bold]Foretell[/] serves on [bold cyan]{self.url}[/]")
        if self.docs_url:
            console.print(f"[dim]docs[/]  {self.docs_url}")
        if self.security is not None:
            said = ", ".join(f"{name.replace('_', ' ')}: {text}" for name, text in self.security.items())
            console.print(f"[dim]security[/]  {escape(said)}", soft_wrap=True)
        if self.admin_file is not None:
            console.print(f"[dim]the admin's key is in[/]  {escape(str(self.admin_file))}", soft_wrap=True)
        console.print()
        console.print(table if table.row_count else "[yellow]no models yet; put one there and send SIGHUP[/]")
        for entry in self._entries(served=False):
            if entry.reason is not None:
                console.print(f"\n[red]{escape(str(entry.ref))}[/]: {escape(entry.reason.detail)}", soft_wrap=True)
                console.print(f"  [dim]foretell check {escape(self.path_of(entry.ref))}[/]", soft_wrap=True)
        if not self.lane and self.settings.lane:
            console.print("\n[yellow]The lane is off: it was not tested with this version of uvicorn.[/]")
        if (line := self.curl()) is not None:
            console.print("\n[dim]try[/]")
            console.print(f"  {escape(line)}\n", soft_wrap=True)

    @property
    def docs_url(self) -> str | None:
        """Where the documentation page stands; None where it is off."""
        return f"{self.url}/docs" if self.settings.docs.enabled else None

    def curl(self) -> str | None:
        """A line that works, for the default model or else the first that is ready."""
        name = self.catalog.default_model
        model = self.catalog.models.get(name) if name else None
        path = "/predict"
        if model is None or model.latest is None:
            model = next((model for model in self.catalog.models.values() if model.latest is not None), None)
            path = "" if model is None else f"/models/{model.name}/predict"
        if model is None or model.latest.example is None:
            return None
        body = json.dumps({"features": model.latest.example}, ensure_ascii=False)
        where = f"{self.url}{self.settings.prefix}{path}"
        trusting = "" if self.certificate is None else f" --cacert {shlex.quote(str(self.certificate))}"
        if self.settings.tls.client_ca is not None and self.settings.tls.client_certificate == "required":
            trusting += " --cert client.pem --key client.key"
        return f"curl{trusting} {where} -H 'Content-Type: application/json' -d {shlex.quote(body)}"

    def path_of(self, ref: Any) -> str:
        """The folder or file of a version, for a shell."""
        root = self.settings.models
        if root is None:
            return ""
        places = [root / ref.model / ref.version, root / ref.version, root / ref.model]
        return shlex.quote(str(next((place for place in places if place.exists()), root)))

    def _entries(self, *, served: bool) -> Iterable[Any]:
        return [entry for entry in self.catalog.entries if (entry.servable is not None) is served]
