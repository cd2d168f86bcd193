"""Version folders on disk: which name comes next, and writing one whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from foretell.core.identity import Ref, name_fault, version_fault
from foretell.core.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, Artifact, Manifest
from foretell.errors import PackagingError, VersionExists

_NUMBERED = re.compile(r"v([0-9]{1,9})")
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """Where a version goes: ``models/iris/v1`` is version v1 of the model iris."""

    path: Path
    ref: Ref

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> VersionFolder:
        """Raises PackagingError where the last two parts of the path cannot name a model and a version."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links the author means
        model, version = absolute.parent.name, absolute.name
        fault = version_fault(version)
        if fault:
            raise PackagingError(
                f"{version!r} cannot name a version: {fault}",
                hint="give a path like models/iris/v1: model, then version",
            )
        if fault := name_fault(model):
            raise PackagingError(
                f"{model!r} cannot name a model: {fault}", hint="give a path like models/iris/v1: model, then version"
            )
        return cls(Path(path), Ref(model, version))

    def refuse_existing(self) -> None:
        """Raises VersionExists, naming the next free version, where anything bears the name already."""
        if os.path.lexists(self.path):
            free = next_version(self.path.parent)
            raise VersionExists(
                f"{self.ref} exists already at {self.path}, and a version is never overwritten",
                hint=f"the next free version is {free}",
            )


def next_version(model: Path) -> str:
    """The version after the newest ``vN`` in a model's folder; ``v1`` where there is none."""
    names = [entry.name for entry in model.iterdir()] if model.is_dir() else []
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    return f"v{max(numbers, default=0) + 1}"


@contextmanager
def new_version(target: VersionFolder) -> Iterator[Path]:
    """Yields a hidden folder beside the target; when the block ends well, it becomes the target in one rename.

    Whatever fails, nothing is left behind and the target is as it was. Of several that write the same version at once
    exactly one succeeds, the others get VersionExists.
    """
    target.refuse_existing()
    parent = target.path.parent
    made = _make(parent)
    hidden = parent / f".{target.path.name}.{secrets.token_hex(6)}.partial"
    try:
        hidden.mkdir()
        yield hidden
        for path in sorted(hidden.iterdir()):
            _sync(path)
        _sync(hidden)
        _publish(hidden, target)
    except BaseException as error:
        shutil.rmtree(hidden, ignore_errors=True)
        _unmake(made)
        if isinstance(error, OSError):
            raise PackagingError(f"{target.path} cannot be written: {error.strerror or error}") from error
        raise
    _sync(parent)


def store_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest into the folder. Raises PackagingError where it grows beyond what a server reads."""
    content = tomli_w.dumps(manifest.to_document(), multiline_strings=False).encode()
    if len(content) > MANIFEST_MAX_BYTES:
        raise PackagingError(
            f"the manifest has {len(content):,} bytes, and servers read {MANIFEST_MAX_BYTES:,} at most",
            hint="keep large things out of the metadata",
        )
    (folder / MANIFEST_NAME).write_bytes(content)


def artifact_of(path: Path) -> Artifact:
    """Name, SHA-256 and size of a written file."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return Artifact(path.name, sha256.hexdigest(), path.stat().st_size)


def _publish(hidden: Path, target: VersionFolder) -> None:
    target.refuse_existing()
    try:
        # a rename onto a folder with something in it fails, so a version that came in between stays as it is
        hidden.rename(target.path)
    except OSError:
        target.refuse_existing()
        raise


def _make(folder: Path) -> list[Path]:
    """Makes the folder and its parents; returns those that were made, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PackagingError(f"the folder {folder} cannot be made: {error.strerror or error}") from error
    return missing


def _unmake(made: list[Path]) -> None:
    for path in made:
        try:
            path.rmdir()
        except OSError:
            return  # somebody else put something there meanwhile: theirs stays


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
