"""From something found to something that answers: verify, load, try, check golden examples, measure."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import structlog

from foretell.caching.base import AnswerCache
from foretell.codecs.base import Decoders
from foretell.core.cache import CacheOptions
from foretell.core.execution import ExecutionOptions
from foretell.core.identity import Ref
from foretell.core.manifest import Artifact
from foretell.core.signature import Signature
from foretell.core.values import Inputs
from foretell.errors import ArtifactError, IntegrityError, LoadFailed, UntrustedArtifact
from foretell.execution.base import Executor
from foretell.lifecycle.golden import check_golden
from foretell.lifecycle.servable import Costs, Servable
from foretell.lifecycle.warmup import Trial, trial_of, warm
from foretell.runtimes.base import LoadOptions, Model, Runtime, isolation_of
from foretell.sources.base import Files, Found

_log = structlog.get_logger("foretell.lifecycle")

_TEXT_CHARS = 300
_ABSOLUTE_PATH = re.compile(r"(?<![\w./:])/(?:[^\s/'\":,;()<>]+/)+([^\s/'\":,;()<>]*)")

Prepare = Callable[[Model, Inputs, ExecutionOptions, bool], Awaitable[tuple[Executor | None, Costs]]]
"""Measures a warm model with these rows, chooses how it runs, and opens its executor. Awaited on the event loop.

No executor: the model should be hosted. The last argument says that the model is known to refuse these rows, so that
what it raises on them is no failure.
"""

Host = Callable[[Found, str, Sequence[Artifact], LoadOptions], Awaitable[Model]]
"""Loads a version in a process of its own: found, name of the runtime, verified artifacts. Raises ArtifactError."""


OpenCache = Callable[[Ref, str, Signature, CacheOptions | None], AnswerCache | None]
"""The cache of a version with this digest, whose manifest says this of it; None where it is to have none."""


def no_cache(*_: object) -> None:
    """An ``OpenCache`` of a server that remembers nothing."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model out of its verified files, not yet tried."""

    found: Found
    runtime: str
    model: Model
    digest: str


def load_model(
    found: Found,
    open_files: Callable[[Found], AbstractContextManager[Files]],
    get_runtime: Callable[[str], Runtime],
    options: LoadOptions,
) -> Loaded:
    """Verifies and loads what was found. Blocking. Raises ArtifactError, whatever the library does.

    The files are confirmed after loading, so that what was loaded is what was verified.
    """
    if found.fault is not None:
        raise found.fault
    if found.artifact is None:
        raise IntegrityError(f"{found.ref} has no file to load")
    name = runtime_name(found)
    signature = found.manifest.signature if found.manifest else None
    with artifact_faults("loading"), open_files(found) as files:
        runtime = get_runtime(name)
        model = runtime.load(files.path(found.artifact.name), signature, options)
        try:
            files.confirm()
        except IntegrityError:
            close_quietly(model, found)
            raise
        return Loaded(found, name, model, files.digest)


def runtime_name(found: Found) -> str:
    """What loads it: as the manifest says, else as it was recognised."""
    return found.manifest.runtime if found.manifest else found.recognition.runtime if found.recognition else ""


def must_be_hosted(found: Found, runtime: Runtime, mode: str) -> bool:
    """Whether a version is hosted whatever it costs. ``mode`` is the setting's; the author's goes before it."""
    author = _execution(found).mode
    wanted = mode if author == "auto" else author
    isolation = isolation_of(runtime)
    return isolation == "hosted" or wanted == "hosted" or (isolation == "prefer_hosted" and wanted == "auto")


def try_model(loaded: Loaded) -> Trial:
    """Warms a model up and checks its golden examples. Blocking. Raises ArtifactError; then the model is closed."""
    found, model = loaded.found, loaded.model
    try:
        with artifact_faults("trying"):
            trial = trial_of(model.signature, found.manifest, str(found.ref))
            outputs = warm(model, trial)
            if outputs is None:
                _log.warning("model_warmup_skipped", model=found.ref.model, version=found.ref.version)
                return replace(trial, features=None, refused=True)
            if found.manifest is not None and found.manifest.golden:
                check_golden(found.manifest, outputs)
            return trial
    except ArtifactError:
        close_quietly(model, found)
        raise


class Loader:
    """Loads versions. ``decoders`` compiles the fast ways of all codecs, by media type; one ``Loader`` per process."""

    def __init__(
        self,
        *,
        open_files: Callable[[Found], AbstractContextManager[Files]],
        get_runtime: Callable[[str], Runtime],
        prepare: Prepare,
        decoders: Callable[[Signature], Mapping[str, Decoders]],
        options: LoadOptions | None = None,
        open_cache: OpenCache = no_cache,
        host: Host | None = None,
        mode: str = "auto",
    ) -> None:
        self._open_files = open_files
        self._get_runtime = get_runtime
        self._prepare = prepare
        self._decoders = decoders
        self._options = options or LoadOptions()
        self._open_cache = open_cache
        self._host = host
        self._mode = mode

    async def load(self, found: Found, on_loaded: Callable[[], None] = lambda: None) -> Servable:
        """A version that may answer. ``on_loaded`` is called between loading and trying.

        Raises ArtifactError; then nothing of the version is left. The loop stays free but for what ``prepare`` does.
        """
        started = time.perf_counter()
        loaded = await self.open(found)
        on_loaded()
        servable = await self._try(loaded, started)
        if servable is None:  # measured here, it turned out to be one that should not run here
            servable = await self._try(await self._load_hosted(found), started)
        if servable is None:
            raise LoadFailed("it runs in a process of its own, and was measured as if it did not")
        return servable

    async def open(self, found: Found) -> Loaded:
        """The model, loaded where it may be and not yet tried. Raises ArtifactError; then nothing of it is left."""
        sound = found.fault is None and found.artifact is not None
        hosted = sound and must_be_hosted(found, self._runtime(found), self._mode)
        return await (self._load_hosted(found) if hosted else self._load_here(found))

    def _runtime(self, found: Found) -> Runtime:
        with artifact_faults("loading"):
            return self._get_runtime(runtime_name(found))

    async def _load_here(self, found: Found) -> Loaded:
        options = replace(self._options, device=_execution(found).device)
        return await asyncio.to_thread(load_model, found, self._open_files, self._get_runtime, options)

    async def _load_hosted(self, found: Found) -> Loaded:
        name = runtime_name(found)
        if self._host is None:
            raise UntrustedArtifact(
                f"{name} models run in a process of their own, never in this one, and here they cannot have one",
                hint="Serve it with `foretell serve` on Linux.",
            )
        artifacts, digest = await asyncio.to_thread(self._verified, found)
        options = replace(self._options, device=_execution(found).device)
        with artifact_faults("loading", KeyboardInterrupt, asyncio.CancelledError):
            return Loaded(found, name, await self._host(found, name, artifacts, options), digest)

    def _verified(self, found: Found) -> tuple[Sequence[Artifact], str]:
        with artifact_faults("loading"), self._open_files(found) as files:
            return files.artifacts, files.digest

    async def _try(self, loaded: Loaded, started: float) -> Servable | None:
        """The version, warmed and measured; None, and closed, where it should be hosted instead."""
        found, model, executor = loaded.found, loaded.model, None
        trial = await asyncio.to_thread(try_model, loaded)
        try:
            with artifact_faults("measuring", KeyboardInterrupt, asyncio.CancelledError):
                executor, costs = await self._prepare(model, trial.inputs, _execution(found), trial.refused)
            if executor is not None:
                with artifact_faults("describing", KeyboardInterrupt):
                    return self._servable(loaded, trial, executor, costs, time.perf_counter() - started)
        except ArtifactError:
            if executor is not None:
                await executor.close()
            await asyncio.to_thread(close_quietly, model, found)
            raise
        await asyncio.to_thread(close_quietly, model, found)
        return None

    async def digest(self, found: Found) -> str:
        """The digest of what lies there now. Raises IntegrityError where that is not what the manifest says."""
        return await asyncio.to_thread(self._digest, found)

    def _digest(self, found: Found) -> str:
        with self._open_files(found) as files:
            return files.digest

    def _servable(self, loaded: Loaded, trial: Trial, executor: Executor, costs: Costs, load_s: float) -> Servable:
        model, found = loaded.model, loaded.found
        return Servable(
            ref=found.ref,
            runtime=loaded.runtime,
            signature=model.signature,
            model=model,
            executor=executor,
            costs=costs,
            digest=loaded.digest,
            model_type=model.model_type,
            parameters=model.parameters,
            manifest=found.manifest,
            decoders=self._decoders(model.signature),
            cache=self._open_cache(
                found.ref, loaded.digest, model.signature, found.manifest.cache if found.manifest else None
            ),
            example=trial.features,
            stamp=found.stamp,
            load_s=load_s,
        )


def _execution(found: Found) -> ExecutionOptions:
    return found.manifest.execution if found.manifest else ExecutionOptions()


@contextmanager
def artifact_faults(doing: str, *passing: type[BaseException]) -> Iterator[None]:
    """Turns whatever a model or its library raises into ArtifactError, with a short text that names no server path.

    SystemExit and the like too: a model must not end the server. ``passing`` are those that are not the model's: on the
    event loop's thread interruption and cancellation, on other threads none.
    """
    try:
        yield
    except ArtifactError as error:
        error.detail = short_text(error.detail)
        error.args = (error.detail,)
        raise
    except passing:
        raise
    except BaseException as error:
        raise LoadFailed(f"{doing} the model raised {type(error).__name__}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """What an exception says, short; also for those that fail to say it."""
    try:
        return short_text(str(error)) or "no reason given"
    except Exception:
        return "no reason given"


def short_text(text: str) -> str:
    """The first 300 characters on one line, absolute paths cut down to the file's name."""
    return _clip(_ABSOLUTE_PATH.sub(r"\1", " ".join(text[: 20 * _TEXT_CHARS].split())))


def close_quietly(model: Model, found: Found) -> None:
    """Closes a model that is not going to be served; a failure to close is reported and changes nothing."""
    try:
        model.close()
    except Exception as error:
        _log.warning("model_close_failed", model=found.ref.model, version=found.ref.version, error=type(error).__name__)


def _clip(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…"
