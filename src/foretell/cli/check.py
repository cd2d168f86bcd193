"""``foretell check``: the doctor."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from foretell.cli.report import printable
from foretell.cli.serving.hosting import own_folder
from foretell.cli.signature_table import answer_line, signature_table
from foretell.errors import ArtifactError, SettingsError
from foretell.lifecycle.loader import Loaded
from foretell.packaging.curl import curl_line
from foretell.packaging.doctor import Doctor, Examined, Report
from foretell.runtimes.registry import installed
from foretell.settings import Settings
from foretell.sources.base import Found
from foretell.sources.local import LocalSource


def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="A model file, a version, a model or a repository; without it FORETELL_MODELS."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON, for machines.")] = False,
) -> None:
    """Examine models and say what would keep them from serving.

    Loads each version as the server would, code in a process of its own, and asks it its golden examples. Nothing is
    changed, nothing untrusted is loaded. Exit code 0: all can be served; 65: something cannot.

    [bold]Examples[/]

    foretell check models

    foretell check models/iris/v2

    foretell check model.onnx --json
    """
    settings = Settings.load()
    where = path or settings.models
    if where is None:
        raise SettingsError(
            "nothing to check: no path was given and FORETELL_MODELS is not set", hint="foretell check PATH"
        )
    registry = installed()
    curl = partial(curl_line, port=settings.port, prefix=settings.prefix)
    source = LocalSource(where, registry.recognise, settings.trust.allows)
    progress = Console(stderr=True)
    spinner = progress.status("looking") if progress.is_terminal and not as_json else nullcontext()
    with _events_on_stderr(), spinner as status:
        tell = _silent if status is None else status.update

        def examine(load: Callable[[Found], Loaded]) -> Report:
            return Doctor(source, registry, load, curl).examine(where, tell)

        report = asyncio.run(_with_loader(settings.model_copy(update={"models": where}), examine))
    if as_json:
        sys.stdout.write(orjson.dumps(report.to_document(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(Console(), report)
    if not report.servable:
        raise typer.Exit(ArtifactError.exit_code)


async def _with_loader(settings: Settings, examine: Callable[[Callable[[Found], Loaded]], Report]) -> Report:
    """Runs ``examine`` beside the loop, with the server's own loader, and with hosts that no server shares."""
    from foretell.bootstrap import open_loader
    from foretell.hosting import open_hosts

    with own_folder() as folder:
        execution = settings.execution.model_copy(update={"folder": folder})
        hosts = open_hosts(settings.model_copy(update={"execution": execution}))
        loader, loop = open_loader(settings, hosts=hosts), asyncio.get_running_loop()
        try:
            return await asyncio.to_thread(
                examine, lambda found: asyncio.run_coroutine_threadsafe(loader.open(found), loop).result()
            )
        finally:
            if hosts is not None:
                await hosts.close()


@contextmanager
def _events_on_stderr() -> Iterator[None]:
    """What the loader has to warn of goes to standard error meanwhile: standard output is the report's."""
    configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        if configured:
            structlog.configure(**before)


def _silent(_what: str) -> None:
    """Tells nobody."""


def _show(console: Console, report: Report) -> None:
    for version in report.versions:
        _show_version(console, version)
    for name, why in report.plugins.items():
        _line(console, f"[yellow]plugin {_safe(name)} cannot be used:[/] {_safe(why)}")
    good = sum(version.servable for version in report.versions)
    if not report.versions:
        _line(console, f"[red]no model found[/] at {_safe(str(report.path))}")
    else:
        colour = "green" if report.servable else "red"
        _line(console, f"[bold {colour}]{good} of {len(report.versions)} can be served[/]")


def _show_version(console: Console, version: Examined) -> None:
    mark = "[bold green]✓[/]" if version.servable else "[bold red]✗[/]"
    kind = f"  {_safe(version.model_type)}" if version.model_type else ""
    _line(console, f"{mark} [bold]{_safe(str(version.ref))}[/]{kind}  [dim]{_safe(str(version.folder))}[/]")
    for file in version.files:
        seen = file.recognition
        what = f"{seen.runtime} ({seen.trust}): {seen.reason}" if seen else "not a model"
        _line(console, f"  file      {_safe(file.name)}  [dim]{_safe(what)}[/]")
    if version.fault is not None:
        _line(console, f"  [red]fault[/]     {_safe(version.fault.title)}: {_safe(version.fault.detail)}")
        if version.fault.hint:
            _line(console, f"  [red]mend[/]      {_safe(version.fault.hint)}")
    for line in version.missing:
        _line(console, f"  [red]install[/]   {_safe(line)}")
    for warning in version.warnings if version.servable else map(str, version.skews):
        _line(console, f"  [yellow]note[/]      {_safe(warning)}")
    if version.digest:
        _line(console, f"  digest    {version.digest}")
    if version.golden and version.golden.passed is not None:
        passed = "[green]passed[/]" if version.golden.passed else "[red]not passed[/]"
        _line(console, f"  golden    {version.golden.count} examples {passed}")
    if version.servable and version.signature is not None:
        console.print(Padding(signature_table(version.signature), (0, 0, 0, 2)))
        _line(console, f"  {answer_line(version.signature)}")
    if version.curl:
        console.print(f"  {version.curl}", highlight=False, markup=False, soft_wrap=True)
    console.print()


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _safe(text: str) -> str:
    """Text of a stranger's file: neither markup nor control characters."""
    return escape(printable(text))
