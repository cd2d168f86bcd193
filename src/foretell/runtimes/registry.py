"""The runtimes that are installed: built-in ones and plugins, by the same door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from foretell.core.identity import closest
from foretell.errors import UnrecognisedArtifact
from foretell.runtimes.base import ENTRY_POINT_GROUP, Recognition, Runtime

_BUILT_IN = "foretell.runtimes."
_ATTRIBUTES = ("name", "requires", "recognise", "load")


class Registry:
    """Runtimes by name. A plugin that cannot be loaded is reported in ``broken`` and otherwise left out.

    The built-in ones are asked first, so that a plugin cannot take a file away from them.
    """

    def __init__(self, doors: Iterable[EntryPoint]) -> None:
        self._runtimes: dict[str, Runtime] = {}
        self._references: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        for door in sorted(doors, key=lambda door: (not door.value.startswith(_BUILT_IN), door.name, door.value)):
            self._open(door)

    def _open(self, door: EntryPoint) -> None:
        try:
            runtime = door.load()
            lacking = [name for name in _ATTRIBUTES if not hasattr(runtime, name)]
        except Exception as error:  # a plugin's import may raise anything, and must not take the server with it
            self._broken[door.name] = f"{door.value} cannot be imported: {type(error).__name__}: {error}"[:500]
            return
        if lacking:
            self._broken[door.name] = f"{door.value} is no runtime: it lacks {', '.join(lacking)}"
        elif runtime.name in self._runtimes:
            self._broken[door.name] = f"{door.value} calls itself '{runtime.name}', which is taken"
        else:
            self._runtimes[runtime.name] = runtime
            self._references[runtime.name] = door.value

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """All that work, by name."""
        return dict(self._runtimes)

    @property
    def broken(self) -> Mapping[str, str]:
        """Plugins that could not be loaded, by entry-point name, and why."""
        return dict(self._broken)

    def get(self, name: str) -> Runtime:
        """The runtime called ``name``. Raises UnrecognisedArtifact naming those there are."""
        found = self._runtimes.get(name)
        if found is not None:
            return found
        known = ", ".join(sorted(self._runtimes)) or "none"
        near = closest(name, self._runtimes)
        meant = f"; did you mean '{near}'?" if near else ""
        why = f" ({self._broken[name]})" if name in self._broken else ""
        raise UnrecognisedArtifact(
            f"no runtime is called '{name[:64]}'{why}; there are {known}{meant}",
            hint="Install the plugin that brings it, or correct 'runtime' in manifest.toml.",
        )

    def reference(self, name: str) -> str:
        """Where another process imports the runtime from: ``module:attribute``. The runtime is one of ``runtimes``."""
        return self._references[name]

    def recognise(self, path: Path) -> Recognition | None:
        """What the file is and why; None where nobody knows it. Never raises for any content."""
        recognitions = (runtime.recognise(path) for runtime in self._runtimes.values())
        return next((recognition for recognition in recognitions if recognition is not None), None)


@cache
def installed() -> Registry:
    """The registry of this environment's entry points, read once."""
    return Registry(entry_points(group=ENTRY_POINT_GROUP))


def get(name: str) -> Runtime:
    """As ``Registry.get``, of what is installed."""
    return installed().get(name)


def reference(name: str) -> str:
    """As ``Registry.reference``, of what is installed."""
    return installed().reference(name)


def recognise(path: Path) -> Recognition | None:
    """As ``Registry.recognise``, of what is installed."""
    return installed().recognise(path)
