"""The runtime port: what turns an artifact into a function, and how a plugin offers one.

A plugin names an object with this shape in the entry-point group ``foretell.runtimes``; the built-in ones come in by
the same door. Importing a runtime's module must not import its library: ``recognise`` has to be cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import LoadFailed

ENTRY_POINT_GROUP = "foretell.runtimes"

_DEVICE = re.compile(r"cpu|cuda(?::([0-9]{1,3}))?")


class Trust(StrEnum):
    """What loading a file means."""

    DATA = "data"
    """Data only, or types from a reviewed list: loads by default."""
    SOURCE = "source"
    """Readable source that stands there to be run, such as ``model.py``: loads in a process of its own."""
    CODE = "code"
    """Loading runs code from the file: never loaded without the author's word."""


Isolation = Literal["any", "prefer_hosted", "hosted"]
"""In which process a runtime's models may run.

any            wherever it is fastest, the web process included
prefer_hosted  in a child process of its own, unless the manifest says otherwise
hosted         in a child process of its own, always: its models are code from outside
"""


CODE_RUNTIMES = frozenset({"pickle", "torch"})
"""Built-in runtimes whose files are ``Trust.CODE``, whatever a file of theirs looks like."""


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
    changed; in a notebook they must not be. ``device`` is ``cpu`` or ``cuda:N``; a runtime that knows no other device
    than the processor refuses the rest with LoadFailed (``only_cpu``).
    """

    threads: int = 1
    exclusive: bool = True
    device: str = "cpu"


FIXED_ROWS_MAX = 65_536
"""The most rows that an artifact made for a fixed number of them may take: shorter batches are filled up to it."""


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

    @property
    def isolation(self) -> Isolation:
        """Where its models may run. A plugin without the attribute counts as ``any``; ask ``isolation_of``."""
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


def isolation_of(runtime: Runtime) -> Isolation:
    """Where the runtime's models may run; ``any`` for a plugin that does not say."""
    return getattr(runtime, "isolation", "any")


def device_of(options: LoadOptions) -> tuple[str, int]:
    """The kind of device, ``cpu`` or ``cuda``, and which of its kind. Raises LoadFailed for any other."""
    match = _DEVICE.fullmatch(options.device)
    if match is None:
        raise LoadFailed(f"the device {options.device[:64]!r} is unknown: it is cpu, cuda or cuda:N")
    return ("cuda" if match[0] != "cpu" else "cpu"), int(match[1] or 0)


def only_cpu(runtime: str, options: LoadOptions) -> None:
    """Raises LoadFailed where another device is asked for than the runtime can use."""
    if options.device != "cpu":
        raise LoadFailed(
            f"the device is {options.device[:64]!r}, but the runtime {runtime} computes on the processor only",
            hint="Leave out 'device', or set it to \"cpu\".",
        )
