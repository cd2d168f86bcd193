"""The files that are a bare ``model.py``: itself and the Python modules it can import from beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from foretell.errors import IntegrityError
from foretell.sources.listing import MAX_ENTRIES

MAX_MODULES = 256
_PACKAGE = "__init__.py"


def module_names(folder: Path, main: str) -> tuple[str, ...]:
    """``main``, then in order every other ``.py`` in the folder and in the packages below, as ``package/module.py``.

    Only what can be imported by its name counts, in folders that are no links. Raises IntegrityError where there are
    more than ``MAX_MODULES``.
    """
    names = sorted(name for name in _modules(folder) if name != main)
    if len(names) >= MAX_MODULES:
        raise IntegrityError(
            f"beside {main} lie more than {MAX_MODULES - 1} Python files, all of which would be part of the version",
            hint=f"Give it a folder with what it needs alone, or package it: foretell add NAME {main} --with FILE",
        )
    return (main, *names)


def _modules(folder: Path) -> Iterator[str]:
    """More than ``MAX_MODULES`` of them are not looked for."""
    left = MAX_MODULES + 1
    folders = [""]
    while folders and left > 0:
        prefix = folders.pop()
        for name, is_folder in _entries(folder / prefix).items():
            if not name.removesuffix(".py").isidentifier():
                continue
            if is_folder and (folder / prefix / name / _PACKAGE).is_file():
                folders.append(f"{prefix}{name}/")
            elif not is_folder and name.endswith(".py"):
                left -= 1
                yield prefix + name


def _entries(folder: Path) -> dict[str, bool]:
    """What stands in a folder, and which of it are folders."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_dir(follow_symlinks=False) for entry in islice(entries, MAX_ENTRIES)}
    except OSError as error:
        raise IntegrityError(f"{folder.name}, beside the model, cannot be read: {error.strerror}") from None
