"""The local source: a file, a version folder, a model folder or a repository on this machine's disk.

What a path is, in this order:

file         a model of one file: ``churn.onnx`` is model ``churn``, version ``v1``; ``model.*`` bears its folder's name
version      a folder with a manifest, or whose name looks like a version (``v2``, ``2026-11-01``, ``1.4.0``) and that
             holds a recognised file. ``models/iris/v1`` is version ``v1`` of ``iris``; a folder with a manifest whose
             name does not look like a version, such as ``churn``, is model ``churn``, version ``v1``
model        a folder some of whose folders are versions (a manifest, or a recognised file under a name that looks like
             a version), and none of whose folders holds versions in its turn
repository   every other folder. Its folders are models, with their versions inside or, for a model of one version,
             with manifest or file directly in them (version ``v1``). Recognised files that lie in it are models of one
             file

Hidden entries and ``__pycache__`` are left out, and so are files in a repository that no runtime knows. Folders may be
symbolic links as long as they stay inside; files may not. Whatever else is wrong is reported as a version with a fault.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from foretell.core.identity import Ref
from foretell.core.manifest import MANIFEST_NAME
from foretell.errors import ArtifactError, IntegrityError, OperatorError, PathMissing, UnrecognisedArtifact
from foretell.runtimes.base import Recognition
from foretell.sources.base import WHOLE, Found, Recognise, Trusted, nobody
from foretell.sources.integrity import Verified, measured, verified
from foretell.sources.listing import Lister, printable
from foretell.sources.version_folder import artifact_names, read_single, read_version, recognised_files

FIRST_VERSION = "v1"

_LOOKS_LIKE_VERSION = re.compile(r"v?\d[A-Za-z0-9._-]*")


class LocalSource:
    """Finds versions under ``path``. ``recognise`` says which runtime a file is for, ``trusted`` which may be code."""

    def __init__(self, path: Path, recognise: Recognise, trusted: Trusted = nobody) -> None:
        self._path = path
        self._recognise = recognise
        self._trusted = trusted

    def scan(self) -> Sequence[Found]:
        """Everything under the path. Raises PathMissing, or OperatorError where it is neither file nor folder."""
        shown = Path(os.path.abspath(self._path))  # noqa: PTH100 - the name as given: links are not followed for it
        try:
            root = shown.resolve(strict=True)
            mode = root.stat().st_mode
        except (OSError, RuntimeError):
            raise PathMissing(
                f"There is no model at {self._path}: the path does not exist or cannot be read."
            ) from None
        if stat.S_ISREG(mode) and root.name == MANIFEST_NAME:
            root, shown = root.parent, shown.parent
        elif stat.S_ISREG(mode):
            return [self._file(root, shown)]
        elif not stat.S_ISDIR(mode):
            raise OperatorError(f"{self._path} is neither a file nor a folder.")
        return _each_once(_Scan(root, self._path, self._recognise, self._trusted).folder(shown.name, shown.parent.name))

    def open(self, found: Found) -> AbstractContextManager[Verified]:
        """The files of ``found``, verified against its manifest, or measured where it has none."""
        if found.manifest is not None:
            return verified(found.folder, found.manifest.artifacts)
        if found.artifact is None:
            raise IntegrityError(f"{found.ref} has no file to open")
        return measured(found.folder, *artifact_names(found.artifact, found.recognition))

    def _file(self, root: Path, shown: Path) -> Found:
        ref = _file_ref(shown.name, shown.parent.name)
        recognition = self._recognise(root)
        if recognition is None:
            fault = UnrecognisedArtifact(f"{printable(shown.name)} is not recognised as a model by any runtime")
            return Found(ref, root.parent, root, fault=fault)
        return read_single(ref, root, recognition, self._path)


class _Scan:
    """One walk through a folder."""

    def __init__(self, root: Path, shown: Path, recognise: Recognise, trusted: Trusted) -> None:
        self._trusted = trusted
        self._root = root
        self._shown = shown
        self._lister = Lister(root)
        self._recognise = recognise
        self._recognised: dict[Path, dict[str, Recognition]] = {}

    def folder(self, name: str, parent: str) -> Iterator[Found]:
        """Everything in the root, which bears ``name`` and lies in ``parent``."""
        looks_like_version = _LOOKS_LIKE_VERSION.fullmatch(name) is not None
        listing = self._lister.list(self._root)
        nested = [folder for folder in listing.folders.values() if self._is_version(folder) or self._is_model(folder)]
        if MANIFEST_NAME in (*listing.files, *listing.faults) or (
            looks_like_version and not nested and self._files(self._root)
        ):
            ref = Ref(printable(parent), printable(name)) if looks_like_version else Ref(printable(name), FIRST_VERSION)
            yield self._version(ref, self._root, self._shown)
        elif self._is_model_root():
            yield from self._model(printable(name), self._root, self._shown)
        else:
            yield from self._repository(name)

    def _is_model_root(self) -> bool:
        folders = self._lister.list(self._root).folders
        versions = [
            name
            for name, folder in folders.items()
            if self._has_manifest(folder) or (_LOOKS_LIKE_VERSION.fullmatch(name) and self._is_version(folder))
        ]
        return bool(versions) and not any(self._is_model(folder) for folder in folders.values())

    def _repository(self, name: str) -> Iterator[Found]:
        listing = self._lister.list(self._root)
        if listing.fault:
            yield Found(Ref(WHOLE, WHOLE), self._root, fault=listing.fault)
        for model, folder in listing.folders.items():
            shown = self._shown / model
            if self._is_version(folder) and not self._is_model(folder):
                yield self._version(Ref(printable(model), FIRST_VERSION), folder, shown)
            else:
                yield from self._model(printable(model), folder, shown)
        for file, recognition in self._files(self._root).items():
            ref = _file_ref(file, name)
            if ref.model in listing.folders:
                yield _beside(ref.model, file, self._root)
            else:
                yield read_single(ref, self._root / file, recognition, self._shown / file)
        for entry, fault in listing.faults.items():
            yield Found(Ref(printable(entry), FIRST_VERSION), self._root, fault=fault)

    def _model(self, model: str, folder: Path, shown: Path) -> Iterator[Found]:
        listing = self._lister.list(folder)
        if listing.fault:
            yield Found(Ref(model, WHOLE), folder, fault=listing.fault)
        elif not (listing.folders or listing.faults):
            yield self._version(Ref(model, FIRST_VERSION), folder, shown)
            return
        for version, inside in listing.folders.items():
            yield self._version(Ref(model, printable(version)), inside, shown / version)
        stray = [MANIFEST_NAME] if MANIFEST_NAME in listing.files else []
        for file in (*stray, *self._files(folder)):
            yield _beside(model, file, folder)
        for entry, fault in listing.faults.items():
            yield Found(Ref(model, printable(entry)), folder, fault=fault)

    def _version(self, ref: Ref, folder: Path, shown: Path) -> Found:
        return read_version(ref, folder, self._lister.list(folder), self._recognise, shown, trusted=self._trusted)

    def _has_manifest(self, folder: Path) -> bool:
        listing = self._lister.list(folder)
        return MANIFEST_NAME in listing.files or MANIFEST_NAME in listing.faults

    def _is_version(self, folder: Path) -> bool:
        return self._has_manifest(folder) or bool(self._files(folder))

    def _is_model(self, folder: Path) -> bool:
        inside = self._lister.list(folder).folders.values()
        if any(self._has_manifest(version) for version in inside):
            return True
        return not self._has_manifest(folder) and any(self._is_version(version) for version in inside)

    def _files(self, folder: Path) -> dict[str, Recognition]:
        if folder not in self._recognised:
            self._recognised[folder] = recognised_files(self._lister.list(folder), self._recognise)
        return self._recognised[folder]


def _file_ref(file: str, folder: str) -> Ref:
    stem = Path(file).stem
    return Ref(printable(folder if stem == "model" else stem), FIRST_VERSION)


def _beside(model: str, file: str, folder: Path) -> Found:
    fault: ArtifactError = UnrecognisedArtifact(
        f"{printable(file)} lies beside the versions of model {model}. Give it a folder of its own, as in {model}/v2/."
    )
    return Found(Ref(model, printable(file)), folder, fault=fault)


def _each_once(found: Iterator[Found]) -> list[Found]:
    """The first of each ref, those without a fault before those with one."""
    kept: dict[Ref, Found] = {}
    for item in sorted(found, key=lambda item: item.fault is not None):
        kept.setdefault(item.ref, item)
    return list(kept.values())
