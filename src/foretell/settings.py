"""The settings: one frozen tree. With ``foretell.settings_reading``, the only reader of environment, ``.env`` and
``foretell.toml``.

What is said in several places is taken from the first of: command line, environment, ``.env``, ``foretell.toml``,
default. Whatever cannot be used is a SettingsError that lists every fault with the place it stands in.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from foretell.core.cache import LEAST_BYTES, LONGEST_TTL_S, MOST_BYTES, SHORTEST_TTL_S
from foretell.core.identity import Ref, name_fault, version_fault
from foretell.core.limits import MAX_QUEUE_S, BodyLimits
from foretell.errors import SettingsError
from foretell.settings_reading import RESOLVED, SHOWN_CHARS, Reading, nested

_HIDDEN = frozenset({"cache.secret", "cache.redis_url"})
_OWN_SECRET = secrets.token_hex(32)


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

    max_streams: int = Field(
        default=64, ge=1, le=10_000, description="Streams one process answers at a time; beyond it they get 503."
    )
    max_row_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        description="Longest line or record of a stream, in bytes; a longer one is faulty.",
    )
    max_record_batch_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest record batch of an Arrow stream, in bytes."
    )
    stream_idle_s: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        description="Seconds a stream may stand still in either direction; it may last as long as it moves.",
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
    mode: Literal["auto", "direct", "threaded", "hosted"] = Field(
        default="auto",
        description="How models run: in the event loop, on threads, in own processes, or as measured at warm-up.",
    )
    max_call_ms: float = Field(
        default=5.0,
        gt=0,
        le=10_000,
        description="Longest call that may run in the event loop; caps the rows of one call there.",
    )

    timeout_s: float | None = Field(
        default=None,
        ge=0.01,
        le=3600,
        description="How long one call of a hosted model may take before its process is killed. Default: half of "
        "`limits.timeout_s`, so that those who shared the call can still be answered.",
    )
    memory_mib: int | None = Field(
        default=None,
        ge=16,
        description="Memory of one hosted process, above which it is killed. Default: half of the machine's.",
    )
    folder: Path | None = Field(
        default=None,
        description="Folder for the sockets of hosted models, of this user alone. Default: a temporary one.",
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


class Cache(Group):
    models: Literal["manifest", "all", "none"] | tuple[str, ...] = Field(
        default="manifest",
        description="Models whose answers are remembered: whose `manifest` says so, `all`, `none`, or those named.",
    )
    ttl_s: float | None = Field(
        default=None,
        ge=SHORTEST_TTL_S,
        le=LONGEST_TTL_S,
        description="Seconds an answer is remembered; else as the manifest says, else 60.",
    )
    max_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=LEAST_BYTES,
        le=MOST_BYTES,
        description="Memory for the answers of all models, in each worker.",
    )
    max_entry_bytes: int = Field(
        default=256 * 1024, ge=64, le=64 * 1024 * 1024, description="Largest answer that is remembered."
    )
    redis_url: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="A Redis in which workers and machines share answers, such as `redis://:password@host:6379/0`.",
    )
    redis_timeout_ms: float = Field(
        default=20.0, ge=1, le=1000, description="Most milliseconds a request waits for Redis."
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        max_length=1024,
        description="Signs what is put into Redis. "
        "Machines that share answers need the same; else each start makes its own.",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _model_names(cls, models: Any) -> Any:
        return models if models in ("manifest", "all", "none") else _names(models, "manifest, all, none")

    @property
    def signing(self) -> str:
        """The secret; where none is set, one that this process and its workers have."""
        return self.secret or _OWN_SECRET


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
    cache: Cache = Cache()
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
        return _names(ready, "any, all")

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
        reading = Reading((key for key, _ in leaves()), environ, directory)
        for key, value in (options or {}).items():
            reading.option(key, value)
        return cls._validated(reading)

    @classmethod
    def _validated(cls, reading: Reading) -> Self:
        faults = list(reading.faults)
        settings: Self | None = None
        try:
            settings = cls.model_validate(nested(reading.values))
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
        cache = self.cache.model_copy(update={"secret": self.cache.signing}) if self.cache.redis_url else self.cache
        return {RESOLVED: self.model_copy(update={"models": models, "log": log, "cache": cache}).model_dump_json()}


def _names(given: Any, words: str) -> tuple[str, ...]:
    """Names of models, from a list or a text with commas. Raises ValueError, which names the ``words`` taken too."""
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    names = [name for name in names if name] if isinstance(names, list | tuple) else []
    if not names or any(not isinstance(name, str) or name_fault(name) for name in names):
        raise ValueError(f"must be {words}, or names of models with commas between them")
    return tuple(names)


def leaves(group: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted key, pydantic's FieldInfo), in the order of the tree."""
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _value_faults(error: ValidationError, reading: Reading) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not key:
            yield message
            continue
        shown = "(hidden)" if key in _HIDDEN else str(reading.values.get(key))
        shown = shown if len(shown) <= SHOWN_CHARS else shown[:SHOWN_CHARS] + "…"
        yield f"{reading.sources.get(key, key)}: '{shown}' {message}"


def _listing(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults in the settings:\n" + "\n".join(f"  - {fault}" for fault in faults)
