"""Which of the libraries this server stands on are older than the versions it was made for.

The floors are those of the package itself. An installer keeps them; what was put in its place by hand, or by another
package of the same environment, is not kept by anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import metadata

_FLOOR = re.compile(r"([A-Za-z0-9._-]{1,100}+)[^;>]*+>=\s?([0-9][0-9.]{0,40})")
_NUMBER = re.compile(r"[0-9]{1,9}")


def outdated() -> tuple[str, ...]:
    """Those that are installed and too old, such as ``starlette 1.5.0 < 1.5.1``."""
    try:
        requirements = metadata.requires("foretell") or ()
    except metadata.PackageNotFoundError:  # run from its sources: nobody says what it needs
        return ()
    return below(requirements, metadata.version)


def below(requirements: Iterable[str], version_of: Callable[[str], str]) -> tuple[str, ...]:
    """Which of the requirements' floors the installed versions do not reach; what is not installed is no matter."""
    found: set[str] = set()
    for requirement in requirements:
        match = _FLOOR.match(requirement)
        if match is None:
            continue
        name, floor = match[1], match[2]
        try:
            installed = version_of(name)
        except metadata.PackageNotFoundError:
            continue
        if _parts(installed) < _parts(floor):
            found.add(f"{name} {installed} < {floor}")
    return tuple(sorted(found))


def _parts(version: str) -> tuple[int, ...]:
    """The numbers a version begins with; zeros at its end make no difference."""
    numbers: list[int] = []
    for part in version.split("+", maxsplit=1)[0].split("."):
        match = _NUMBER.match(part)
        if match is None:
            break
        numbers.append(int(match[0]))
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
