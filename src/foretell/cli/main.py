"""The entry point: finds the command, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from foretell.cli.report import EX_SOFTWARE, report
from foretell.errors import ForetellError

DEBUG = "FORETELL_DEBUG"

# the first line of each command's help; the commands themselves are imported when they are called
COMMANDS = {
    "serve": "Serve models over HTTP.",
    "add": "Add a trained model to a repository.",
    "check": "Examine models and say what would keep them from serving.",
    "predict": "Predict the rows of a file, by a running server or straight from a folder.",
    "score": "Score a file of any size, on all cores.",
    "keys": "Make, show, rotate and revoke API keys.",
    "audit": "Show who changed keys and access.",
    "usage": "Show who used how much of which model.",
}
GROUPS = {"keys": ("create", "list", "show", "rotate", "revoke")}
"""Those that have commands of their own."""


class LazyCommand(TyperCommand):
    """A command known by name and help; its module is imported when it is called."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        return load(str(self.name)).make_context(*args, **extra)


def load(name: str) -> TyperCommand | TyperGroup:
    """The command itself: the function ``name`` of the module ``foretell.cli.name``, or its group ``app``."""
    if name in GROUPS:
        return cast(TyperGroup, typer.main.get_command(import_module(f"foretell.cli.{name}").app))
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(name)(getattr(import_module(f"foretell.cli.{name}"), name))
    return cast(TyperCommand, typer.main.get_command(app))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"foretell {version('foretell')}")
        raise typer.Exit


def _options(
    version: Annotated[  # noqa: ARG001  # its callback answers
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; also by FORETELL_DEBUG=1.")
    ] = False,
) -> None:
    """A trained model becomes a production API."""
    if debug:
        os.environ[DEBUG] = "1"


class Commands(TyperGroup):
    """The commands, none of which is imported until it is called."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.commands = {name: LazyCommand(name, help=help_line) for name, help_line in COMMANDS.items()}


cli = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
cli.callback()(_options)


def main(args: list[str] | None = None) -> None:
    """Runs one command and exits: 0, 2 for wrong usage, 130 when interrupted, else the error's own code."""
    try:
        cli(args, prog_name="foretell")
    except ForetellError as error:
        if os.environ.get(DEBUG):
            raise
        sys.exit(report(error))
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        unexpected = ForetellError(
            f"Unexpected {type(error).__name__}: {error}",
            hint=f"this is a fault in Foretell or a library; {DEBUG}=1 shows where",
        )
        sys.exit(report(unexpected, exit_code=EX_SOFTWARE))


if __name__ == "__main__":
    main()
