"""The doctor for tests that look at what it says: it loads everything in this process."""

from __future__ import annotations

from typing import Any

from foretell.lifecycle.loader import Loaded, load_model
from foretell.packaging.doctor import Doctor
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.registry import installed
from foretell.sources.base import Found


def doctor(source: Any, runtimes: Any = None) -> Doctor:
    known = runtimes or installed()

    def load(found: Found) -> Loaded:
        return load_model(found, source.open, known.get, LoadOptions())

    return Doctor(source, known, load)
