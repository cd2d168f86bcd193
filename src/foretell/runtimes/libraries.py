"""The libraries behind runtimes: imported when a model needs them, and their faults as ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foretell.errors import ArtifactError, LoadFailed, MissingLibrary
from foretell.runtimes.base import Requirement

OPENMP = "apt-get install libgomp1"
_TEXT_CHARS = 200


def library(title: str, needed: Requirement, *, module: str = "", hint: str = "", system: str = "") -> Any:
    """The module of the requirement, or another of its distribution. Raises MissingLibrary.

    ``hint`` stands in for the line that installs it; ``system`` is what helps where it is there and does not start.
    """
    try:
        __import__(module or needed.module)
        return sys.modules[module or needed.module]
    except ImportError as error:
        detail = f"{title} models need {needed.module}, which cannot be imported: {error}"
        raise MissingLibrary(detail, hint=hint or needed.install) from error
    except Exception as error:  # OSError, or an exception of the library's own
        detail = f"{needed.module} is installed, but a system library it needs is not: {error}"
        raise MissingLibrary(detail, hint=system or hint or needed.install) from error


@contextmanager
def load_faults(title: str, path: Path, hint: str) -> Iterator[None]:
    """Turns whatever a library raises over a file into LoadFailed, with the first line of what it says."""
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:
        lines = (line.strip() for line in str(error).splitlines())
        first = next(filter(None, lines), "no message")[:_TEXT_CHARS]
        raise LoadFailed(f"{title} cannot load {path.name}: {first}", hint=hint) from error
