"""The source port: what finds versions, and what it hands to the loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foretell.core.identity import Ref
from foretell.core.manifest import Artifact, Manifest
from foretell.errors import ArtifactError
from foretell.runtimes.base import Recognition

Recognise = Callable[[Path], Recognition | None]
"""Which runtime a regular file belongs to, and why; None where no runtime knows it. Never raises."""


Trusted = Callable[[Ref], bool]
"""Whether the operator allows a version that is code, and that its manifest pins, to run."""


def nobody(_: Ref) -> bool:
    """Trusts no version."""
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """One version as a source sees it, not yet verified.

    ``folder`` holds it on this machine; ``artifact`` is the file in it that the runtime loads. Either there is a
    ``fault`` (and ``artifact`` may be None), or ``artifact`` is set together with a manifest or a recognition.
    ``stamp`` changes whenever a file of the version may have changed; equal stamps mean untouched.
    """

    ref: Ref
    folder: Path
    artifact: Path | None = None
    manifest: Manifest | None = None
    recognition: Recognition | None = None
    fault: ArtifactError | None = None
    stamp: str = ""


WHOLE = "*"
"""The version, and where it concerns the whole source also the model, of a fault that hides what else may be there."""


class Files(Protocol):
    """The files of one version on this machine, verified."""

    @property
    def artifacts(self) -> Sequence[Artifact]:
        """What was verified."""
        ...

    @property
    def digest(self) -> str:
        """The version's digest; see ``foretell.core.manifest.digest``."""
        ...

    def path(self, name: str) -> Path:
        """Where to load a file from, for as long as the files are open."""
        ...

    def confirm(self) -> None:
        """Raises IntegrityError where a file was changed since it was verified. Called after loading."""
        ...


class Source(Protocol):
    """Finds versions and opens them."""

    def scan(self) -> Sequence[Found]:
        """Everything there is now, each ref once. Blocking; called off the event loop.

        What is wrong with one version stands in its ``fault`` and never hides the rest. Raises OperatorError
        (``foretell.errors``) only where the source itself cannot be read.
        """
        ...

    def open(self, found: Found) -> AbstractContextManager[Files]:
        """Verifies what was found, and keeps it open while it is loaded. Blocking; called off the event loop.

        ``found`` has no fault. Raises IntegrityError where a file is not what the manifest says.
        """
        ...
