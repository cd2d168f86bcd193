"""The settings: one frozen tree, and the only reader of environment, ``.env`` and ``foretell.toml``.

What is said in several places is taken from the first of: command line, environment, ``.env``, ``foretell.toml``,
default. Whatever cannot be used is a SettingsError that lists every fault with the place it stands in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from foretell.core.identity import Ref, closest, name_fault, version_fault
from foretell.core.limits import MAX_QUEUE_S, BodyLimits
from foretell.errors import SettingsError

PREFIX = "FORETELL_"
CONFIG = "FORETELL_CONFIG"
RESOLVED = "FORETELL_RESOLVED_SETTINGS"
CONFIG_NAME = "foretell.toml"
FALLBACKS = {"MODEL_PATH": "models", "HOST": "host", "PORT": "port"}
NOT_SETTINGS = frozenset({CONFIG, RESOLVED, "FORETELL_DEBUG"})

_SHOWN_CHARS = 64


class Group(BaseModel):
    """Settings that belong together: frozen, unknown keys refused, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class Limits(Group):
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="Largest request body, in bytes.")
    max_batch_rows: int = Field(default=1000, ge=1, description="Most rows in one batch request.")
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="Seconds a request may take; a caller may ask for fewer with `X-Request-Timeout`.",
    )
    max_queue_s: float = Field(
        default=MAX_QUEUE_S,
        gt=0,
        le=86_400,
        description="Longest a request may have to wait for its turn, in seconds as estimated, or four times as long "
        "as it takes itself; beyond it requests are answered 503.",
    )
    max_waiting_rows: int = Field(
        default=16_384, ge=1, description="Rows that may wait for one version; beyond it requests are answered 503."
    )
    max_json_depth: int = Field(
        default=32, ge=4, le=256, description="Deepest nesting of arrays and objects in a JSON body."
    )

    @property
    def body(self) -> BodyLimits:
        """The bounds on one request body."""
        return BodyLimits(self.max_body_bytes, self.max_batch_rows, self.max_json_depth)


class Log(Group):
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`json` lines, `console` lines for people, or `auto`: console on a terminal, else JSON.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe event that is written. Request lines are of level info."
    )
    values: bool = Field(
        default=False, description="Whether what a failing model says is logged: it may hold feature values."
    )
    path: Path | None = Field(default=None, description="File to append to; without it lines go to standard output.")
    max_buffered_lines: int = Field(
        default=16_384,
        ge=64,
        description="Lines kept while the output does not drain; beyond it lines are dropped and counted.",
    )


class Errors(Group):
    show_values: bool = Field(
        default=True, description="Whether an error answer shows the offending value, clipped to 64 characters."
    )


class Execution(Group):
    threads: int = Field(
        default=1, ge=1, le=1024, description="Native threads (OpenMP, BLAS, ONNX Runtime) of one model call."
    )
    mode: Literal["auto", "direct", "threaded"] = Field(
        default="auto", description="How models run: in the event loop, on threads, or as measured at warm-up."
    )
    max_call_ms: float = Field(
        default=5.0,
        gt=0,
        le=10_000,
        description="Longest call that may run in the event loop; caps the rows of one call there.",
    )


class Trust(Group):
    pickle: tuple[str, ...] = Field(
        default=(),
        description="Models (`iris`) and versions (`churn/v3`) whose pinned pickle or PyTorch file may run, hosted. "
        "Loading such a file runs code from it.",
    )

    @field_validator("pickle", mode="before")
    @classmethod
    def _pickle_names(cls, given: Any) -> Any:
        names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
        names = [name for name in names if name] if isinstance(names, list | tuple) else [None]
        if not all(isinstance(name, str) and _names_a_version(name) for name in names):
            raise ValueError("must be names of models or versions, such as iris or churn/v3, with commas between them")
        return tuple(names)

    def allows(self, ref: Ref) -> bool:
        """Whether a file of this version may be code."""
        return ref.model in self.pickle or f"{ref.model}/{ref.version}" in self.pickle


def _names_a_version(name: str) -> bool:
    model, slash, version = name.partition("/")
    return name_fault(model) is None and (not slash or version_fault(version) is None)


class Docs(Group):
    enabled: bool = Field(default=True, description="Whether `/docs` and `/openapi.json` are served.")


class Settings(Group):
    """The whole tree. ``Settings(...)`` takes values as they are; ``Settings.load`` reads every source."""

    models: Path | None = Field(
        default=None, description="A model file, the folder of one model, or a repository of models."
    )
    default_model: str | None = Field(
        default=None, description="The model that answers `/predict`; else the only one there is."
    )
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes any free one.")
    workers: int = Field(
        default=1, ge=1, le=1024, description="Processes that share the port, each a whole application."
    )
    reload: bool = Field(default=False, description="Restart when models or Python files change; for development.")
    prefix: str = Field(default="/api/v1", description="Path the API stands under; empty for the root.")
    ready: Literal["any", "all"] | tuple[str, ...] = Field(
        default="any", description="When the server is ready: `any` model is, `all` are, or all of those named are."
    )
    lane: bool = Field(default=True, description="Whether plain predictions take the shortcut below ASGI.")
    drain_s: float = Field(default=30.0, ge=0, le=3600, description="Seconds accepted work may take to end at a stop.")
    keep_alive_s: int = Field(default=5, ge=1, le=3600, description="Seconds an idle connection is kept open.")
    limits: Limits = Limits()
    log: Log = Log()
    errors: Errors = Errors()
    execution: Execution = Execution()
    trust: Trust = Trust()
    docs: Docs = Docs()

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("prefix")
    @classmethod
    def _prefix_grammar(cls, prefix: str) -> str:
        if prefix in ("", "/"):
            return ""
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", prefix):
            raise ValueError("must start with / and hold letters, digits, '.', '_', '~', '-' and / only")
        return prefix.rstrip("/")

    @field_validator("default_model")
    @classmethod
    def _default_model_grammar(cls, name: str | None) -> str | None:
        if name is not None and (fault := name_fault(name)):
            raise ValueError(f"cannot name a model: {fault}")
        return name

    @field_validator("ready", mode="before")
    @classmethod
    def _ready_names(cls, ready: Any) -> Any:
        if ready in ("any", "all"):
            return ready
        names = [name.strip() for name in ready.split(",")] if isinstance(ready, str) else ready
        names = [name for name in names if name] if isinstance(names, list | tuple) else []
        if not names or any(not isinstance(name, str) or name_fault(name) for name in names):
            raise ValueError("must be any, all, or names of models with commas between them")
        return tuple(names)

    @model_validator(mode="after")
    def _agreement(self) -> Self:
        if self.reload and self.workers > 1:
            raise ValueError("reload runs one worker: leave out either reload or workers")
        return self

    @classmethod
    def load(
        cls,
        options: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Self:
        """Reads every source. ``options`` are the command line's, by dotted key; None there means not given.

        Raises SettingsError naming every fault.
        """
        environ = os.environ if environ is None else environ
        directory = Path.cwd() if directory is None else directory
        if RESOLVED in environ and not options:
            return cls._from_export(environ[RESOLVED])
        reading = Reading(environ, directory)
        for key, value in (options or {}).items():
            reading.option(key, value)
        return cls._validated(reading)

    @classmethod
    def _validated(cls, reading: Reading) -> Self:
        faults = list(reading.faults)
        settings: Self | None = None
        try:
            settings = cls.model_validate(_nested(reading.values))
        except ValidationError as error:
            faults += _value_faults(error, reading)
        if faults or settings is None:
            raise SettingsError(_listing(faults), hint="every setting is described in docs/reference/settings.md")
        settings._sources.update(reading.sources)
        return settings

    @classmethod
    def _from_export(cls, document: str) -> Self:
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            raise SettingsError(f"{RESOLVED} is set by Foretell for its own workers; unset it ({error})") from error

    def source_of(self, key: str) -> str:
        """Where the value of a dotted key comes from, for people: ``--port``, ``FORETELL_PORT``, ``default`` ..."""
        return self._sources.get(key, "default")

    def export(self) -> dict[str, str]:
        """Environment under which another process's ``Settings.load()`` gives this very tree, in any directory."""
        models = None if self.models is None else self.models.absolute()
        path = None if self.log.path is None else self.log.path.absolute()
        log = self.log.model_copy(update={"path": path})
        return {RESOLVED: self.model_copy(update={"models": models, "log": log}).model_dump_json()}


def leaves(group: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted key, pydantic's FieldInfo), in the order of the tree."""
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def variable(key: str) -> str:
    """The environment variable of a dotted key: ``limits.timeout_s`` -> ``FORETELL_LIMITS__TIMEOUT_S``."""
    return PREFIX + key.upper().replace(".", "__")


def flag(key: str) -> str:
    """The option of the command line for a dotted key: ``limits.timeout_s`` -> ``--timeout``."""
    name = key if key.startswith("log.") else key.rpartition(".")[2]
    return "--" + name.removesuffix("_s").replace(".", "-").replace("_", "-")


class Reading:
    """Values by dotted key with the place each stands in, lower sources first, and the faults met on the way."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.faults: list[str] = []
        self._keys = {key for key, _ in leaves()}
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
                relative = key in ("models", "log.path") and isinstance(value, str)
                self._put(key, path.parent / value if relative else value, f"{path.name}: {key}")
            else:
                options = (self._keys | groups) if not prefix else self._keys
                kind = "a group of settings, not a value" if key in groups else f"not a setting{_meant(key, options)}"
                self.faults.append(f"{path.name}: {key[:_SHOWN_CHARS]} is {kind}")

    def _variables(self, variables: Mapping[str, str], where: str) -> None:
        by_name = {variable(key): key for key in self._keys}
        for given, value in variables.items():
            name = given.upper()
            if not name.startswith(PREFIX) or name in NOT_SETTINGS or not value or _service_link(name, value):
                continue
            if name in by_name:
                self._put(by_name[name], value, where + given)
            else:
                meant = _meant(name, [*by_name, CONFIG])
                self.faults.append(f"{where}{given[:_SHOWN_CHARS]} is not a setting{meant}")


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


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, dot, name = key.partition(".")
        if dot:
            tree.setdefault(group, {})[name] = value
        else:
            tree[key] = value
    return tree


def _value_faults(error: ValidationError, reading: Reading) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not key:
            yield message
            continue
        shown = str(reading.values.get(key))
        shown = shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "…"
        yield f"{reading.sources.get(key, key)}: '{shown}' {message}"


def _meant(word: str, options: Iterable[str]) -> str:
    found = closest(word, options)
    return f"; did you mean {found}?" if found else ""


def _listing(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults in the settings:\n" + "\n".join(f"  - {fault}" for fault in faults)
