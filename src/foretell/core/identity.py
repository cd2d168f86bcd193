"""What models and versions are called, and how versions are ordered (contract §1)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

NAME_GRAMMAR = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
RESERVED_VERSIONS = frozenset({"latest", "batch", "stream", "versions"})
LATEST = "latest"

_NAME = re.compile(NAME_GRAMMAR)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True, order=False)
class Ref:
    """One version of one model."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model} {self.version}"


def name_fault(name: str) -> str | None:
    """Why ``name`` cannot name a model, or None where it can."""
    if _NAME.fullmatch(name):
        return None
    return (
        "a name starts with a letter or digit and goes on with letters, digits, '.', '_' or '-', 128 characters at most"
    )


def version_fault(version: str) -> str | None:
    """Why ``version`` cannot name a version, or None where it can."""
    if version in RESERVED_VERSIONS:
        return f"'{version}' is reserved; no version may bear it"
    return name_fault(version)


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which ``v2 < v10``, ``1.9.0 < 1.10.0``, ``1.0.0-rc.1 < 1.0.0`` and dates go by the calendar.

    Runs of digits compare as numbers, everything else as text. A semantic pre-release (a hyphen followed by a letter
    after a dotted number) sorts before its release, as semver.org 2.0.0 §11 has it.
    """
    release, hyphen, suffix = version.partition("-")
    prerelease = bool(hyphen) and release.count(".") == 2 and suffix[:1].isalpha()
    key = _natural(release if prerelease else version)
    # (0, ...) pre-release parts < (1, ...) end of a release < (2, ...) further parts of the name
    return (*key, (0, 0, ""), *_natural(suffix)) if prerelease else (*key, (1, 0, ""))


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    parts = (part for part in _DIGITS.split(text) if part)
    return tuple((2, int(part), "") if part.isdigit() else (3, 0, part) for part in parts)


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option a person most likely meant by ``word``, for a «did you mean»; None where none is near."""
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(word[:256].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
