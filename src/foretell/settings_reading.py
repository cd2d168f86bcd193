"""Where settings are read from: ``foretell.toml``, ``.env`` and the environment, and what each of them says.

Only ``foretell.settings`` comes here. Values stay as they were found; what they mean is decided there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foretell.core.identity import closest
from foretell.settings_secrets import FILE, SecretUnreadable, read_secret

PREFIX = "FORETELL_"
CONFIG = "FORETELL_CONFIG"
CONFIG_NAME = "foretell.toml"
FALLBACKS = {"MODEL_PATH": "models", "HOST": "host", "PORT": "port"}
SHORT = {"state.folder": "FORETELL_STATE"}
"""Variables with a name of their own; the regular one is taken, too."""
DEBUG = "FORETELL_DEBUG"
API_KEY = "FORETELL_API_KEY"
NOT_SETTINGS = frozenset({CONFIG, DEBUG, API_KEY})
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


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for a process that is to find no settings there: some are secrets."""
    kept = (name for name in environ if not name.upper().startswith(PREFIX) or name == DEBUG)
    return {name: environ[name] for name in kept}


class Reading:
    """Values by dotted key with the place each stands in, lower sources first, and the faults met on the way.

    A secret may stand in a file that ``key_file`` names. ``places`` are the files that secrets were found in.
    """

    def __init__(
        self, keys: Iterable[str], environ: Mapping[str, str], directory: Path, *, secrets: Iterable[str] = ()
    ) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.places: dict[str, Path] = {}
        self.faults: list[str] = []
        self._secrets = frozenset(secrets)
        self._files = {key + FILE: key for key in self._secrets}
        self._keys = {*keys, *self._files}
        self._directory = directory
        self._toml(environ, directory)
        file = _dotenv(directory / ".env")
        for name, key in FALLBACKS.items():
            for where, variables in ((".env: ", file), ("", environ)):
                if value := variables.get(name):
                    self._put(key, value, where + name)
        self._variables(file, ".env: ", directory / ".env")
        self._variables(environ, "")

    def option(self, key: str, value: Any) -> None:
        """Takes one option of the command line."""
        if value is not None:
            self._put(key, value, flag(key))

    def _put(self, key: str, value: Any, source: str, written_in: Path | None = None) -> None:
        """``written_in`` is the file that the value itself stands in."""
        secret = self._files.get(key)
        if secret is None:
            self.values[key] = value
            self.sources[key] = source
            self.places.pop(key, None)
            if written_in is not None and key in self._secrets:
                self.places[key] = written_in
            return
        try:
            path = self._directory / value
            self._put(secret, read_secret(path), source, path)
        except (SecretUnreadable, TypeError) as error:
            reason = error if isinstance(error, SecretUnreadable) else "it must be the path of a file"
            # not the path: whoever put the secret itself there by mistake must not read it in a log
            self.faults.append(f"{source}: {reason}")

    def _both(self, given: Iterable[str], where: str) -> None:
        """A secret and its file in one place: nobody can know which of them is meant."""
        names = set(given)
        for file, key in self._files.items():
            if file in names and key in names:
                self.faults.append(f"{where}{key} and {file} are both set: leave out one of them")

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
        self._both((f"{g}.{n}" for g, t in document.items() if isinstance(t, dict) for n in t), f"{path.name}: ")

    def _table(self, table: Mapping[str, Any], prefix: str, path: Path) -> None:
        groups = {key.partition(".")[0] for key in self._keys if "." in key}
        for name, value in table.items():
            key = prefix + name
            if not prefix and name in groups and isinstance(value, dict):
                self._table(value, f"{name}.", path)
            elif key in self._keys:
                # a path in the file is meant from where the file stands
                relative = (key in PATHS or key in self._files) and isinstance(value, str)
                self._put(key, path.parent / value if relative else value, f"{path.name}: {key}", path)
            else:
                options = (self._keys | groups) if not prefix else self._keys
                kind = "a group of settings, not a value" if key in groups else f"not a setting{_meant(key, options)}"
                self.faults.append(f"{path.name}: {key[:SHOWN_CHARS]} is {kind}")

    def _variables(self, variables: Mapping[str, str], where: str, file: Path | None = None) -> None:
        by_name = {name: key for key in self._keys for name in (_regular(key), variable(key))}
        found: list[str] = []
        for given, value in variables.items():
            name = given.upper()
            if not name.startswith(PREFIX) or name in NOT_SETTINGS or not value or _service_link(name, value):
                continue
            if name in by_name:
                found.append(by_name[name])
                self._put(by_name[name], value, where + given, file)
            else:
                meant = _meant(name, [*by_name, CONFIG])
                self.faults.append(f"{where}{given[:SHOWN_CHARS]} is not a setting{meant}")
        self._both(found, where)


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
