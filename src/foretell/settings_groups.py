"""The groups of the settings tree; ``foretell.settings`` puts it together and reads it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from foretell.core.cache import LEAST_BYTES, LONGEST_TTL_S, MOST_BYTES, SHORTEST_TTL_S
from foretell.core.identity import Ref, name_fault, version_fault
from foretell.core.limits import MAX_QUEUE_S, BodyLimits

_OWN_SECRET = secrets.token_hex(32)


class Group(BaseModel):
    """Settings that belong together: frozen, unknown keys refused, no infinities."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, hide_input_in_errors=True
    )


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
        default=64,
        ge=1,
        le=10_000,
        description="Streams one process answers at a time, of one caller a quarter at most; beyond it they get 503.",
    )
    max_row_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        description="Longest line or record of a stream, in bytes; a longer one is faulty.",
    )
    max_record_batch_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest record batch of an Arrow stream, in bytes."
    )
    max_spool_bytes: int = Field(
        default=4 * 1024**3,
        ge=1024,
        description="Largest Parquet file a stream takes, in bytes; it is kept in the folder of temporary files "
        "(`TMPDIR`) until it is answered.",
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
    def _picklenames_of_models(cls, given: Any) -> Any:
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
        repr=False,
        description="A Redis in which workers and machines share answers, such as `redis://:password@host:6379/0`.",
    )
    redis_timeout_ms: float = Field(
        default=20.0, ge=1, le=1000, description="Most milliseconds a request waits for Redis."
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        max_length=1024,
        repr=False,
        description="Signs what is put into Redis. "
        "Machines that share answers need the same; else each start makes its own.",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _modelnames_of_models(cls, models: Any) -> Any:
        return models if models in ("manifest", "all", "none") else names_of_models(models, "manifest, all, none")

    @property
    def signing(self) -> str:
        """The secret; where none is set, one that this process and its workers have."""
        return self.secret or _OWN_SECRET


class Docs(Group):
    enabled: bool = Field(default=True, description="Whether `/docs` and `/openapi.json` are served.")


def names_of_models(given: Any, words: str) -> tuple[str, ...]:
    """Names of models, from a list or a text with commas. Raises ValueError, which names the ``words`` taken too."""
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    names = [name for name in names if name] if isinstance(names, list | tuple) else []
    if not names or any(not isinstance(name, str) or name_fault(name) for name in names):
        raise ValueError(f"must be {words}, or names of models with commas between them")
    return tuple(names)
