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


def test_nothing_that_crosses_a_process_is_pickled() -> None:
    """Where bytes of a hosted model, of Redis or of another process are read, nothing may be able to unpickle them."""
    rooms = ("foretell.execution", "foretell.caching", "foretell.inference", "foretell.wire", "foretell.api")
    code = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "multiprocessing"}
    found = {
        name: names
        for name, module in modules().items()
        if name.startswith(rooms) and (names := imported(module.tree) & code)
    }
    assert not found


def imported(tree: ast.Module) -> set[str]:
    """The top-level names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
