"""Where settings are read from: ``foretell.toml``, ``.env`` and the environment, and what each of them says.

Only ``foretell.settings`` comes here. Values stay as they were found; what they mean is decided there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foretell.core.identity import closest

PREFIX = "FORETELL_"
CONFIG = "FORETELL_CONFIG"
RESOLVED = "FORETELL_RESOLVED_SETTINGS"
CONFIG_NAME = "foretell.toml"
FALLBACKS = {"MODEL_PATH": "models", "HOST": "host", "PORT": "port"}
SHORT = {"state.folder": "FORETELL_STATE"}
"""Variables with a name of their own; the regular one is taken, too."""
NOT_SETTINGS = frozenset({CONFIG, RESOLVED, "FORETELL_DEBUG"})
PATHS = frozenset({"models", "log.path", "state.folder", "tls.cert", "tls.key", "tls.client_ca"})
SHOWN_CHARS = 64


def variable(key: str) -> str:
    """The environment variable of a dotted key: ``limits.timeout_s`` -> ``FORETELL_LIMITS__TIMEOUT_S``."""
    return SHORT.get(key) or _regular(key)


def _regular(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def flag(key: str) -> str:
    """The option of the command line for a dotted key: ``limits.timeout_s`` -> ``--timeout``."""
    name = key if key.startswith(("log.", "tls.")) else key.rpartition(".")[2]
    return "--" + name.removesuffix("_s").replace(".", "-").replace("_", "-")


class Reading:
    """Values by dotted key with the place each stands in, lower sources first, and the faults met on the way."""

    def __init__(self, keys: Iterable[str], environ: Mapping[str, str], directory: Path) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.faults: list[str] = []
        self._keys = set(keys)
        self._toml(environ, directory)
        file = _dotenv(directory / ".env")
        for name, key in FALLBACKS.items():
            for where, variables in ((".env: ", file), ("", environ)):
                if value := variables.get(name):
                    self._put(key, value, where + name)
        self._variables(file, ".env: ")
        self._variables(environ, "")

    def option(self, key: str, value: Any) -> None:
        """Takes one option of the command line."""
        if value is not None:
            self._put(key, value, flag(key))

    def _put(self, key: str, value: Any, source: str) -> None:
        self.values[key] = value
        self.sources[key] = source

    def _toml(self, environ: Mapping[str, str], directory: Path) -> None:
        import tomllib

        named = environ.get(CONFIG)
        path = directory / (named or CONFIG_NAME)
        if not named and not path.exists():
            return
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.faults.append(f"{f'{CONFIG}: ' if named else ''}{named or CONFIG_NAME} cannot be read: {reason}")
            return
        self._table(document, "", path)

    def _table(self, table: Mapping[str, Any], prefix: str, path: Path) -> None:
        groups = {key.partition(".")[0] for key in self._keys if "." in key}
        for name, value in table.items():
            key = prefix + name
            if not prefix and name in groups and isinstance(value, dict):
                self._table(value, f"{name}.", path)
            elif key in self._keys:
                # a path in the file is meant from where the file stands
                relative = key in PATHS and isinstance(value, str)
                self._put(key, path.parent / value if relative else value, f"{path.name}: {key}")
            else:
                options = (self._keys | groups) if not prefix else self._keys
                kind = "a group of settings, not a value" if key in groups else f"not a setting{_meant(key, options)}"
                self.faults.append(f"{path.name}: {key[:SHOWN_CHARS]} is {kind}")

    def _variables(self, variables: Mapping[str, str], where: str) -> None:
        by_name = {name: key for key in self._keys for name in (_regular(key), variable(key))}
        for given, value in variables.items():
            name = given.upper()
            if not name.startswith(PREFIX) or name in NOT_SETTINGS or not value or _service_link(name, value):
                continue
            if name in by_name:
                self._put(by_name[name], value, where + given)
            else:
                meant = _meant(name, [*by_name, CONFIG])
                self.faults.append(f"{where}{given[:SHOWN_CHARS]} is not a setting{meant}")


def _service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set the variable for a Service called «foretell», as it does in every pod of the namespace."""
    if name == "FORETELL_PORT":
        return value.startswith(("tcp://", "udp://"))
    return re.fullmatch(r"FORETELL_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP).*)", name) is not None


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as a tree."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, dot, name = key.partition(".")
        if dot:
            tree.setdefault(group, {})[name] = value
        else:
            tree[key] = value
    return tree


def _meant(word: str, options: Iterable[str]) -> str:
    found = closest(word, options)
    return f"; did you mean {found}?" if found else ""
