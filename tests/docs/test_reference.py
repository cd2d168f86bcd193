"""The reference pages name what there is: every error code, command, option, route and public name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

import foretell
from foretell.cli.main import GROUPS, load
from foretell.core.faults import TITLES
from tests.docs.blocks import ROOT
from tools import generate_cli, generate_errors


def codes_in_source() -> Iterator[str]:
    """Every code that is given where an error is raised, instead of by its class."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "log" not in ast.unparse(node.func):
                given = (keyword.value for keyword in node.keywords if keyword.arg == "code")
                yield from (v.value for v in given if isinstance(v, ast.Constant) and isinstance(v.value, str))


def test_the_page_of_errors_is_current() -> None:
    written = generate_errors.PAGE.read_text(encoding="utf-8")
    assert written == generate_errors.page(), "run: make reference"


def test_the_page_of_the_command_line_is_current() -> None:
    assert generate_cli.PAGE.read_text(encoding="utf-8") == generate_cli.page(), "run: make reference"


def test_every_code_is_on_the_page_of_errors() -> None:
    codes = {*codes_in_source(), *TITLES}
    assert codes
    assert not [code for code in sorted(codes) if f"| `{code}` |" not in generate_errors.page()]


@pytest.mark.parametrize("name", [name for name, _ in generate_cli.commands()])
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    command = dict(generate_cli.commands())[name]
    parameters = [p for p in command.params if p.name != "help"]
    assert command.help
    assert not [p.name for p in parameters if not getattr(p, "help", None)]


def test_every_public_name_is_documented() -> None:
    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    assert not [name for name in foretell.__all__ if f"foretell.{name}" not in pages]


def test_a_group_names_all_its_commands() -> None:
    assert {name: tuple(load(name).commands) for name in GROUPS} == GROUPS  # type: ignore[union-attr]
