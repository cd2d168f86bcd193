"""The settings: one frozen tree. With ``foretell.settings_reading``, the only reader of environment, ``.env`` and
``foretell.toml``. Its groups stand in ``settings_groups``, ``settings_guard``, ``settings_rates``, ``settings_tls`` and
``settings_wire``.

What is said in several places is taken from the first of: command line, environment, ``.env``, ``foretell.toml``,
default. Whatever cannot be used is a SettingsError that lists every fault with the place it stands in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator, model_validator

from foretell.core.identity import name_fault
from foretell.core.weaknesses import ACCEPTABLE
from foretell.errors import SettingsError
from foretell.settings_groups import Cache, Docs, Errors, Execution, Group, Limits, Log, Trust, names_of_models
from foretell.settings_guard import Auth, State
from foretell.settings_rates import Rates
from foretell.settings_reading import SHOWN_CHARS, Reading, nested
from foretell.settings_secrets import readable_by_all
from foretell.settings_tls import Tls
from foretell.settings_wire import Cors, Proxy, Wire

__all__ = [
    "SECRETS",
    "Auth",
    "Cache",
    "Cors",
    "Docs",
    "Errors",
    "Execution",
    "Group",
    "Limits",
    "Log",
    "Proxy",
    "Rates",
    "Settings",
    "State",
    "Tls",
    "Trust",
    "Wire",
    "leaves",
]


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
    auth: Auth = Auth()
    docs: Docs = Docs()
    wire: Wire = Wire()
    proxy: Proxy = Proxy()
    cors: Cors = Cors()
    state: State = State()
    rates: Rates = Rates()
    tls: Tls = Tls()
    accept_risk: tuple[str, ...] = Field(
        default=(),
        description="Codes of weakened defaults that would keep the server from starting, such as `SW03`, which are "
        "accepted here: [TLS](../how-to/tls.md#what-refuses-to-start).",
    )

    core_dumps: bool = Field(
        default=False,
        description="Whether a crash may leave a core dump. One holds keys and callers' values.",
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _places: dict[str, Path] = PrivateAttr(default_factory=dict)

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
        return names_of_models(ready, "any, all")

    @field_validator("accept_risk", mode="before")
    @classmethod
    def _risk_codes(cls, codes: Any) -> Any:
        names = [code.strip() for code in codes.split(",")] if isinstance(codes, str) else codes
        if not isinstance(names, list | tuple) or any(name not in ACCEPTABLE for name in names if name):
            raise ValueError(f"must be codes of risks to accept, with commas between them: {', '.join(ACCEPTABLE)}")
        return tuple(name for name in names if name)

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
        reading = Reading((key for key, _ in leaves()), environ, directory, secrets=SECRETS)
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
        settings._places.update(reading.places)
        return settings

    @classmethod
    def from_export(cls, document: str) -> Self:
        """The tree that ``export`` wrote. Raises ValueError."""
        told = json.loads(document)
        settings = cls.model_validate(told["settings"])
        settings._places.update({key: Path(path) for key, path in told["places"].items()})
        return settings

    def source_of(self, key: str) -> str:
        """Where the value of a dotted key comes from, for people: ``--port``, ``FORETELL_PORT``, ``default`` ..."""
        return self._sources.get(key, "default")

    def readable_secrets(self) -> list[str]:
        """The keys of secrets that stand in a file which every user of this machine can read."""
        return sorted(key for key, path in self._places.items() if readable_by_all(path))

    def export(self) -> str:
        """A document from which another process makes this very tree, in any directory. It holds every secret."""
        models = None if self.models is None else self.models.absolute()
        path = None if self.log.path is None else self.log.path.absolute()
        log = self.log.model_copy(update={"path": path})
        cache = self.cache.model_copy(update={"secret": self.cache.signing}) if self.cache.redis_url else self.cache
        folder = None if self.state.folder is None else self.state.place
        state = self.state.model_copy(update={"folder": folder})
        resolved = {"models": models, "log": log, "cache": cache, "state": state, "tls": self.tls.absolute()}
        tree = self.model_copy(update=resolved).model_dump(mode="json")
        places = {key: str(path.absolute()) for key, path in self._places.items()}
        return json.dumps({"settings": tree, "places": places})


def leaves(group: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted key, pydantic's FieldInfo), in the order of the tree."""
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


SECRETS = frozenset(key for key, field in leaves() if not field.repr)
"""The settings that nothing shows: those whose fields say ``repr=False``. Each may stand in a file of its own."""


def _value_faults(error: ValidationError, reading: Reading) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not key:
            yield message
            continue
        if key not in reading.values and (whole := _around(key, reading.values)):
            # a member of a table in a list: the table may hold secrets, and says no more than the place does
            yield f"{reading.sources[whole]}{key.removeprefix(whole)} {message}"
            continue
        shown = "(hidden)" if key in SECRETS else str(reading.values.get(key))
        shown = shown if len(shown) <= SHOWN_CHARS else shown[:SHOWN_CHARS] + "…"
        yield f"{reading.sources.get(key, key)}: '{shown}' {message}"


def _around(key: str, keys: Iterable[str]) -> str | None:
    return next((whole for whole in keys if key.startswith(f"{whole}.")), None)


def _listing(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults in the settings:\n" + "\n".join(f"  - {fault}" for fault in faults)
