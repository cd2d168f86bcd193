"""What changed on disk since the last look: the models, Python files of the working directory, and the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from foretell.settings_reading import CONFIG_NAME

Stamp = tuple[int, int, int]

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


class Watch:
    """Looks at files by time, size and inode. The first look is made at once."""

    def __init__(self, models: Path, directory: Path) -> None:
        self._models = models
        self._directory = directory
        self._seen = self._look()

    def changes(self) -> Sequence[Path]:
        """The files that changed, came or went since the last call, in order."""
        now = self._look()
        before, self._seen = self._seen, now
        return sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))

    def _look(self) -> dict[Path, Stamp]:
        found: dict[Path, Stamp] = {}
        for path in self._files():
            try:
                status = path.stat()
            except OSError:  # gone between listing and looking, or a link to nowhere: not there
                continue
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def _files(self) -> Iterator[Path]:
        yield from (self._directory / name for name in (CONFIG_NAME, ".env"))
        yield from (path for path in _tree(self._directory) if path.suffix == ".py")
        if self._models.is_dir():
            yield from _tree(self._models)
        else:
            yield self._models


def _tree(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in _PASSED_OVER and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in files if not name.startswith("."))
