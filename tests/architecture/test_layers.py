"""Who may import whom (house rules): the contracts of import-linter hold, and the picture they draw has no cycle."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

from tests.architecture.modules import ROOT, graph, imports, modules

HTTP_FRAMEWORKS = {"fastapi", "starlette"}
MAY_KNOW_HTTP = ("foretell.api", "foretell.asgi")
WIRING = {"foretell.bootstrap", "foretell.hosting"}
MAY_IMPORT_WIRING = ("foretell.bootstrap", "foretell.asgi", "foretell.cli")
IMPLEMENTATIONS = {
    "runtimes": {"sklearn", "onnx", "xgboost", "lightgbm"},
    "codecs": {"json", "csv"},
    "caching": {"memory", "redis"},
}
IO_MODULES = {"asyncio", "socket", "subprocess", "threading", "http", "urllib", "pathlib", "logging"}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_the_contracts_of_import_linter_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    run = subprocess.run([*command, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_nothing_imports_in_a_circle() -> None:
    assert list(TopologicalSorter(graph()).static_order())


def test_only_the_edges_of_http_know_fastapi() -> None:
    knowing = [n for n, m in modules().items() if {t.partition(".")[0] for t in imports(m)} & HTTP_FRAMEWORKS]
    assert not [name for name in knowing if not within(name, *MAY_KNOW_HTTP)]


def test_only_entry_points_import_what_wires_concrete_classes() -> None:
    importing = [name for name, targets in graph().items() if WIRING & set(targets)]
    assert importing
    assert not [name for name in importing if not within(name, *MAY_IMPORT_WIRING)]


def test_a_port_imports_no_implementation() -> None:
    ports = [name for name in modules() if name.endswith(".base")]
    assert {"foretell.runtimes.base", "foretell.codecs.base", "foretell.sources.base", "foretell.caching.base"} <= set(
        ports
    )
    assert not {(port, t) for port in ports for t in graph()[port] if within(t, port.removesuffix(".base"))}


def test_implementations_of_a_port_do_not_import_each_other() -> None:
    for room, implementations in IMPLEMENTATIONS.items():
        packages = {f"foretell.{room}.{implementation}" for implementation in implementations}
        crossing = [
            f"{name} -> {target}"
            for own in packages
            for name in modules()
            if within(name, own)
            for target in graph()[name]
            if within(target, *(packages - {own}))
        ]
        assert not crossing


def test_the_core_is_pure() -> None:
    allowed = {"foretell", "numpy", *sys.stdlib_module_names} - IO_MODULES
    pure = ("foretell.core", "foretell.errors", "foretell.operator_errors")
    core = [module for name, module in modules().items() if within(name, *pure)]
    assert not [(m.name, t) for m in core for t in imports(m) if t.partition(".")[0] not in allowed]
