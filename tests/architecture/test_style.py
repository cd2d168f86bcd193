"""House rules that a look at the source can check."""

from __future__ import annotations

import ast

from tests.architecture.modules import SOURCE, modules

MAX_LINES = 400
NO_NOUNS = {"util", "utils", "helper", "helpers", "common", "misc", "manager"}


def test_every_module_says_what_it_promises() -> None:
    assert not [name for name, module in modules().items() if not ast.get_docstring(module.tree)]


def test_no_file_outgrows_its_noun() -> None:
    assert not {name: module.lines for name, module in modules().items() if module.lines > MAX_LINES}


def test_no_module_is_named_after_nothing() -> None:
    assert not [name for name in modules() if set(name.rpartition(".")[2].split("_")) & NO_NOUNS]


def test_no_middleware_is_built_on_the_slow_base_class() -> None:
    assert not [path for path in SOURCE.rglob("*.py") if "BaseHTTPMiddleware" in path.read_text(encoding="utf-8")]
