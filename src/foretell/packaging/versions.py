"""Versions of the libraries a model was trained with, and whether those at hand are near enough."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

# one library, published under several names: whichever is installed answers
_ALSO = {"xgboost": ("xgboost-cpu",), "xgboost-cpu": ("xgboost",), "onnxruntime": ("onnxruntime-gpu",)}


@dataclass(frozen=True, slots=True)
class Skew:
    """A library whose version at training is another than the one that runs."""

    library: str
    trained: str
    running: str

    def __str__(self) -> str:
        return f"{self.library} was {self.trained} at training, {self.running} runs here"


def installed(distribution: str) -> str | None:
    """The version that is installed, None where there is none."""
    for name in (distribution, *_ALSO.get(distribution, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def library_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those distributions that are installed."""
    found = {name: version for name in distributions if (version := installed(name))}
    return {"python": platform.python_version(), **found}


def skews(trained: Mapping[str, str]) -> tuple[Skew, ...]:
    """Libraries that differ in major or minor version between training and here; those not installed are left out."""
    running = {name: platform.python_version() if name == "python" else installed(name) for name in trained}
    pairs = ((name, version, running[name]) for name, version in trained.items())
    return tuple(Skew(name, then, now) for name, then, now in pairs if now and _minor(then) != _minor(now))


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
