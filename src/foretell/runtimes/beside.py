"""Modules that lie beside a model: within reach while they are imported, and out of the process afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def modules_beside(folder: Path) -> Iterator[None]:
    """Lets what lies in the folder be imported, after everything that is installed, and leaves no file in it.

    What was imported is forgotten at the end, so that another version's module of the same name is another module.
    """
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = written
        forget_modules(folder)


def forget_modules(folder: Path) -> None:
    """Takes modules whose files lie in the folder out of the process; whoever holds one keeps it."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]
