"""What stands in a folder, looked at without opening anything, following no link out of the root, and bounded."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from foretell.errors import ArtifactError, IntegrityError
from foretell.sources.integrity import kind_fault

MAX_ENTRIES = 10_000
"""Entries looked at in one folder."""
MAX_ENTRIES_SCANNED = 200_000
"""Entries looked at in one scan."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder. ``folders`` maps names to real folders (links inside the root are followed); ``files`` are regular.

    ``faults`` maps names of what is neither to what is wrong with it. ``fault`` concerns the folder itself.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    faults: dict[str, ArtifactError] = field(default_factory=dict)
    fault: ArtifactError | None = None


class Lister:
    """Lists folders under one root, each once. One per scan."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[Path, Listing] = {}
        self._left = MAX_ENTRIES_SCANNED

    def list(self, folder: Path) -> Listing:
        """What stands in ``folder``, by name in order. Hidden entries and ``__pycache__`` are left out."""
        if folder not in self._listings:
            self._listings[folder] = self._read(folder)
        return self._listings[folder]

    def _read(self, folder: Path) -> Listing:
        names: list[str] = []
        fault: ArtifactError | None = None
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name == "__pycache__":
                        continue
                    if len(names) >= MAX_ENTRIES or self._left <= 0:
                        fault = IntegrityError(f"the folder holds too much: only {len(names):,} entries are looked at")
                        break
                    names.append(entry.name)
                    self._left -= 1
        except OSError as error:
            fault = IntegrityError(f"the folder cannot be read: {error.strerror}")
        listing = Listing(fault=fault)
        for name in sorted(names):
            self._sort_in(listing, name, folder / name)
        return listing

    def _sort_in(self, listing: Listing, name: str, path: Path) -> None:
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                path = self._target(path)
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode):
                    listing.faults[name] = IntegrityError("it is a symbolic link; only folders may be linked")
                    return
        except (OSError, RuntimeError):
            listing.faults[name] = IntegrityError("it cannot be read, or is a symbolic link that leads nowhere")
        except IntegrityError as error:
            listing.faults[name] = error
        else:
            if stat.S_ISDIR(mode):
                listing.folders[name] = path
            elif stat.S_ISREG(mode):
                listing.files[name] = path
            else:
                listing.faults[name] = IntegrityError(f"it is {kind_fault(mode)}, neither a file nor a folder")

    def _target(self, link: Path) -> Path:
        target = link.resolve(strict=True)
        if not target.is_relative_to(self._root):
            raise IntegrityError("it is a symbolic link that leaves the repository; such links are not followed")
        return target


def printable(name: str) -> str:
    """A file name of any bytes as text that can stand in JSON, in a log and on a terminal."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
