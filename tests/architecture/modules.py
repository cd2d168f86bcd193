"""The source as data: every module with what it imports, read from its syntax tree without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


@dataclass(frozen=True, slots=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(SOURCE.glob("foretell/**/*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return found


def imports(module: Module) -> set[str]:
    """Dotted names that the module imports, anywhere in it, but for what only type checkers see."""
    names: set[str] = set()
    for node in walk_running(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relatively"
            base = node.module or ""
            inner = {f"{base}.{alias.name}" for alias in node.names}
            names |= {name if name in modules() else base for name in inner}
    return names


def walk_running(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    nodes, todo = [], [tree]
    while todo:
        node = todo.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)
    return nodes


@cache
def graph() -> dict[str, set[str]]:
    """Who imports whom inside the package."""
    return {name: {target for target in imports(module) if target in modules()} for name, module in modules().items()}
