"""One version as it stands in a folder: its manifest, else the one file that is recognised as a model."""

from __future__ import annotations

import hashlib
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

from foretell.core.identity import Ref, name_fault, version_fault
from foretell.core.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, Manifest
from foretell.errors import (
    ArtifactError,
    IntegrityError,
    ManifestError,
    UnrecognisedArtifact,
    UntrustedArtifact,
)
from foretell.runtimes.base import CODE_RUNTIMES, Recognition, Trust
from foretell.sources.base import Found, Recognise, Trusted
from foretell.sources.integrity import identity, read_file
from foretell.sources.listing import Listing, printable
from foretell.sources.modules import module_names

_FILES_SHOWN = 5
_MAX_CANDIDATES = 1000


def read_version(
    ref: Ref, folder: Path, listing: Listing, recognise: Recognise, shown: Path, *, trusted: Trusted
) -> Found:
    """The version in ``folder``, with what is wrong in ``fault``. ``shown`` is the folder as people say it."""
    try:
        check_names(ref)
        if listing.fault:
            raise listing.fault
        if MANIFEST_NAME in listing.faults:
            raise IntegrityError(f"{MANIFEST_NAME}: {listing.faults[MANIFEST_NAME].detail}")
        if MANIFEST_NAME in listing.folders:
            raise IntegrityError(f"{MANIFEST_NAME} is a folder; only regular files are read")
        if MANIFEST_NAME in listing.files:
            return _with_manifest(ref, folder, listing, recognise, shown, trusted=trusted)
        name, recognition = _recognised(listing, recognise)
        return read_single(ref, folder / name, recognition, shown / name)
    except ArtifactError as error:
        return Found(ref, folder, fault=error)


def read_single(ref: Ref, artifact: Path, recognition: Recognition, shown: Path) -> Found:
    """A version that is one file without a manifest, or a ``model.py`` with the modules beside it."""
    fault: ArtifactError | None = None
    names: tuple[str, ...] = (artifact.name,)
    try:
        check_names(ref)
        if recognition.trust is Trust.CODE:
            raise _untrusted(ref, artifact, recognition.runtime, shown, pinned=False)
        names = artifact_names(artifact, recognition)
    except ArtifactError as error:
        fault = error
    stamp = _stamp([artifact.parent / name for name in names])
    return Found(ref, artifact.parent, artifact, None, recognition, fault, stamp)


def artifact_names(artifact: Path, recognition: Recognition | None) -> tuple[str, ...]:
    """The files of a version without a manifest. Raises IntegrityError where they are too many."""
    if recognition is not None and recognition.trust is Trust.SOURCE:
        return module_names(artifact.parent, artifact.name)
    return (artifact.name,)


def check_names(ref: Ref) -> None:
    """Raises ArtifactError where model or version have names that cannot be."""
    if fault := name_fault(ref.model):
        raise ArtifactError(f"'{ref.model[:64]}' cannot name a model: {fault}. Rename it.")
    if fault := version_fault(ref.version):
        raise ArtifactError(f"'{ref.version[:64]}' cannot name a version: {fault}. Rename it.")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version folder that has one. Raises ManifestError or IntegrityError, nothing else."""
    content = read_file(folder, MANIFEST_NAME, MANIFEST_MAX_BYTES)
    if content is None:
        raise IntegrityError(f"{MANIFEST_NAME} is missing from the folder")
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{MANIFEST_NAME} is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{MANIFEST_NAME} is not valid TOML: {str(error)[:200]}") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else "a value in it is out of range"
        raise ManifestError(f"{MANIFEST_NAME} cannot be read: {why}") from None
    try:
        return Manifest.from_document(document)
    except ManifestError as error:
        raise ManifestError(f"{MANIFEST_NAME}: {error.detail[:500]}") from None
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise ManifestError(f"{MANIFEST_NAME} holds a value of the wrong type ({type(error).__name__})") from error


def _with_manifest(
    ref: Ref, folder: Path, listing: Listing, recognise: Recognise, shown: Path, *, trusted: Trusted
) -> Found:
    manifest = read_manifest(folder)
    names = [artifact.name for artifact in manifest.artifacts]
    stamp = _stamp([folder / MANIFEST_NAME, *(folder / name for name in names)])
    artifact = folder / names[0]
    recognition = recognise(artifact) if names[0] in listing.files else None
    fault: ArtifactError | None = None
    try:
        if names[0] in listing.faults:
            raise IntegrityError(f"{names[0]}: {listing.faults[names[0]].detail}")
        code = manifest.runtime in CODE_RUNTIMES or (recognition is not None and recognition.trust is Trust.CODE)
        if code and not trusted(ref):
            raise _untrusted(ref, artifact, manifest.runtime, shown / names[0], pinned=True)
    except ArtifactError as error:
        fault = error
    return Found(ref, folder, artifact, manifest, recognition, fault, stamp)


def _recognised(listing: Listing, recognise: Recognise) -> tuple[str, Recognition]:
    """The one file that is a model.

    A ``model.py`` beside other files is what is served: they are what it loads. Data beside code counts alone: a pickle
    beside a model is not what is served.
    """
    found = recognised_files(listing, recognise)
    by_trust = {trust: [name for name, item in found.items() if item.trust is trust] for trust in Trust}
    names = by_trust[Trust.SOURCE] or by_trust[Trust.DATA] or by_trust[Trust.CODE]
    if not names:
        there = list(listing.files) + [f"{name} ({fault.detail})" for name, fault in listing.faults.items()]
        saw = f"it holds {_some([printable(name) for name in there])}" if there else "it holds no file"
        raise UnrecognisedArtifact(f"no file in the folder is recognised as a model: {saw}")
    if len(names) > 1:
        raise UnrecognisedArtifact(
            f"several files in the folder are recognised as models: {_some([printable(name) for name in names])}. "
            "Keep one, or package the version so that a manifest says which it is."
        )
    return names[0], found[names[0]]


def recognised_files(listing: Listing, recognise: Recognise) -> dict[str, Recognition]:
    """The regular files of a folder that are models, by name."""
    recognitions = ((name, recognise(path)) for name, path in list(listing.files.items())[:_MAX_CANDIDATES])
    return {name: recognition for name, recognition in recognitions if recognition is not None}


def _untrusted(ref: Ref, artifact: Path, runtime: str, shown: Path, *, pinned: bool) -> UntrustedArtifact:
    """The refusal of a file that is code. One that a manifest pins may be allowed by name; a bare one may not."""
    model = "NAME" if name_fault(ref.model) else ref.model
    name = printable(artifact.name)
    add = "foretell add {model} {file} --example DATA.csv --trust-pickle"
    hint = add.format(model=model, file=shlex.quote(printable(str(shown))))
    once = add.format(model=model, file=shlex.quote(name))
    if pinned:
        return UntrustedArtifact(
            f"{name} is code: loading it would run whatever it holds, so it is not served unless the settings allow it "
            f'by name. If you trust its author: trust.pickle = ["{model}"], or FORETELL_TRUST__PICKLE={model}',
            hint=f"FORETELL_TRUST__PICKLE={model}" if runtime == "torch" else hint,
        )
    purpose = "store it as data, once: " if runtime == "pickle" else "pin it, once: "
    return UntrustedArtifact(
        f"{name} is code: loading it would run whatever it holds, so it is not served. If you trust its author, "
        + purpose
        + once,
        hint=hint,
    )


def _stamp(paths: Sequence[Path]) -> str:
    hashed = hashlib.sha256()
    for path in paths:
        try:
            hashed.update(repr((path.name, identity(path.lstat()))).encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            hashed.update(b"absent")
    return hashed.hexdigest()[:32]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _FILES_SHOWN
    return ", ".join(name[:64] for name in names[:_FILES_SHOWN]) + (f" and {more} more" if more > 0 else "")
