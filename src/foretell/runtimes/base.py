"""The runtime port: what turns an artifact into a function, and how a plugin offers one.

A plugin names an object with this shape in the entry-point group ``foretell.runtimes``; the built-in ones come in by
the same door. Importing a runtime's module must not import its library: ``recognise`` has to be cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Outputs

ENTRY_POINT_GROUP = "foretell.runtimes"


class Trust(StrEnum):
    """What loading a file means."""

    DATA = "data"
    """Data only, or types from a reviewed list: loads by default."""
    CODE = "code"
    """Loading runs code from the file: never loaded without the author's word."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A library a runtime needs: its import name, its distribution, and the extra of Foretell that brings it."""

    module: str
    distribution: str
    extra: str

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install 'foretell[{self.extra}]'"


@dataclass(frozen=True, slots=True)
class Recognition:
    """Why a file belongs to a runtime, in words for people: «ends in .onnx and starts like a protobuf»."""

    runtime: str
    reason: str
    trust: Trust = Trust.DATA


class Model(Protocol):
    """A loaded artifact.

    ``signature`` is the manifest's where one was given to ``load``, else the artifact's own.
    """

    @property
    def signature(self) -> Signature: ...

    @property
    def model_type(self) -> str:
        """What it is, for people: the estimator's class, ``ONNX``, ``XGBoost gbtree`` ..."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Hyperparameters and the like as plain JSON values, bounded in size; may be empty."""
        ...

    def predict(self, inputs: Inputs) -> Outputs:
        """Predictions for all rows, in order. Safe to call from several threads at once.

        Inputs are validated and match ``signature.layout``. Raises whatever the library raises.
        """
        ...

    def close(self) -> None:
        """Gives back what the model holds. Called once, when nobody predicts any more."""
        ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load: ``threads`` native threads for one call, so that workers do not fight over cores.

    ``exclusive`` says that the process is ours, so that settings of a library which hold for the whole process may be
    changed; in a notebook they must not be.
    """

    threads: int = 1
    exclusive: bool = True


class Runtime(Protocol):
    """One kind of artifact."""

    @property
    def name(self) -> str:
        """As manifests name it, such as ``sklearn``."""
        ...

    @property
    def requires(self) -> Sequence[Requirement]:
        """What must be installed to load."""
        ...

    def recognise(self, path: Path) -> Recognition | None:
        """Whether the file is of this kind, by name and first bytes, without the library; None where it is not.

        Never raises for any file content, however hostile. ``path`` is an existing regular file.
        """
        ...

    def load(self, path: Path, signature: Signature | None, options: LoadOptions) -> Model:
        """Loads the artifact.

        ``signature`` is the manifest's; without one the artifact's own metadata must do.
        Raises MissingLibrary, UntrustedArtifact, SignatureMissing or LoadFailed (``foretell.errors``), nothing else.
        """
        ...
