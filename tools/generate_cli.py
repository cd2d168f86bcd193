"""Writes ``docs/reference/cli.md`` from the commands themselves: ``python tools/generate_cli.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from foretell.cli.main import COMMANDS, GROUPS, load

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"

KINDS = {str: "TEXT", Path: "PATH", int: "N", float: "N"}
DEFAULT = re.compile(r" \\?\[([^\[\]]+)\]$")

HEAD = """\
# Command line

Generated from the commands by `make reference`; a test holds that it is current.

Every failure is one line on standard error that says what happened, why and what to do, and an exit code of its own:
see [errors](errors.md#on-the-command-line). 2 stands for wrong usage, 130 for an interrupt. `foretell --debug COMMAND`
or `FORETELL_DEBUG=1` shows the traceback, too; `foretell --version` the version.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(section(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    for name in COMMANDS:
        command: Any = load(name)
        if name in GROUPS:
            yield from ((f"{name} {own}", command.commands[own]) for own in GROUPS[name])
        else:
            yield name, command


def section(name: str, command: Any) -> str:
    """One command: what it does, and everything it takes."""
    parameters: list[Any] = list(command.params)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option" and "--help" not in p.opts]
    places = [str(a.name).upper() if a.required else f"[{str(a.name).upper()}]" for a in arguments]
    usage = " ".join(["foretell", name, *places])
    rows = [f"| `{str(a.name).upper()}` | {words(getattr(a, 'help', None))} |  |\n" for a in arguments]
    rows += [f"| {spelled(option)} | {words(option.help)} | {default(option)} |\n" for option in options]
    head = "| argument or option | what | default |\n|---|---|---|\n"
    return f"\n## foretell {name}\n\n```text\n{usage} [OPTIONS]\n```\n\n{prose(command.help)}\n\n{head}{''.join(rows)}"


def spelled(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    kind = option.type_descriptor.annotation
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    value = option.metavar or " / ".join(choices) or KINDS.get(kind, "VALUE")
    return f"{names} {value}".replace("|", "\\|")


def default(option: Any) -> str:
    """What holds without the option: its own default, or what its help says in brackets at the end."""
    if option.required:
        return "required"
    said = DEFAULT.search(option.help or "")
    value = said[1] if said else option.default
    return "" if value is None or value is False else f"`{value}`"


def words(text: str | None) -> str:
    """Help text as Markdown in a cell of a table."""
    plain = DEFAULT.sub("", " ".join((text or "").split()))
    marked = re.sub(r"\[bold\](.*?)\[/(?:bold)?\]", r"`\1`", plain)
    return marked.replace("\\[", "[").replace("|", "\\|")


def prose(text: str | None) -> str:
    """A command's help with its examples as a block."""
    body, _, examples = inspect.cleandoc(text or "").partition("[bold]Examples[/]")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    paragraphs = "\n\n".join(words(part) for part in body.strip().split("\n\n"))
    return paragraphs + ("\n\n```text\n" + "\n".join(lines) + "\n```" if lines else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
