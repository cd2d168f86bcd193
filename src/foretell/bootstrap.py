"""Settings -> Services: the only file that knows concrete classes. Opens in order, closes in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
import uvicorn

from foretell.api.native.doors import single_paths
from foretell.caching.caches import Caches
from foretell.caching.policy import CachePolicy
from foretell.caching.redis import RedisStore
from foretell.caching.seal import OVERHEAD_BYTES
from foretell.codecs.arrow import arrow_codec, parquet_codec
from foretell.codecs.base import Codec, Decoders
from foretell.codecs.csv import codec as csv_codec
from foretell.codecs.json import codec as json_codec
from foretell.codecs.json import ndjson_codec
from foretell.codecs.npy import codec as npy_codec
from foretell.codecs.stream.arrow import ArrowFormat
from foretell.codecs.stream.base import StreamFormat
from foretell.codecs.stream.csv import CsvFormat
from foretell.codecs.stream.ndjson import NdjsonFormat
from foretell.codecs.stream.parquet import ParquetFormat
from foretell.core.access.principal import Principal
from foretell.core.execution import ExecutionOptions
from foretell.core.ids import Ids
from foretell.core.signature import Signature
from foretell.core.values import Inputs
from foretell.errors import OperatorError
from foretell.execution.base import Executor
from foretell.execution.hosted.hosts import Hosts
from foretell.execution.prepare import ExecutionPolicy, Measured, prepare
from foretell.hosting import hosting, open_hosts
from foretell.inference.service import InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder
from foretell.lifecycle.loader import Loader, OpenCache, no_cache
from foretell.lifecycle.reconciler import Reconciler
from foretell.limiting import open_limiter
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions, Model
from foretell.security import core_dumps
from foretell.security.base import Identities, Limiter
from foretell.security.certificates import CertificateIdentities
from foretell.security.gate import Gate
from foretell.security.keys.opening import Keys, serve_keys
from foretell.security.openness import stranger
from foretell.security.tokens.desk import TokenDesk
from foretell.security.tokens.opening import Tokens, serve_tokens
from foretell.security.usage.ledger import Ledger
from foretell.security.usage.recorder import recording
from foretell.settings import Settings
from foretell.sources.local import LocalSource
from foretell.telemetry.logging import Log, open_log
from foretell.telemetry.observer import Observer
from foretell.telemetry.observers import Observers
from foretell.wire.defence import Defence
from foretell.wire.lane import Lane
from foretell.wire.tested import TESTED_UVICORN, lane_supported

CLOSE_S = 3.0
OLD = 50
"""How often what lived for a while is walked before all of it is: five times less often than Python's own."""
CODECS: tuple[Codec, ...] = (json_codec, csv_codec, ndjson_codec, arrow_codec, parquet_codec, npy_codec)
STREAMS: tuple[StreamFormat, ...] = (NdjsonFormat(json_codec), CsvFormat(csv_codec), ArrowFormat(), ParquetFormat())

_log = structlog.get_logger("foretell")


@dataclass(frozen=True)
class Services:
    """Everything one process runs. ``lane`` is None where it is switched off or this uvicorn was not tested."""

    settings: Settings
    service: InferenceService
    reconciler: Reconciler
    observer: Observer
    ids: Ids
    log: Log
    started_at: float
    gate: Gate
    keys: Keys
    lane: Lane | None
    wire: Defence
    desk: TokenDesk | None = None
    codecs: tuple[Codec, ...] = CODECS
    streams: tuple[StreamFormat, ...] = STREAMS

    def drain(self) -> None:
        """Takes no new work from here on: readiness goes red, accepted work ends."""
        self.service.draining = True
        if self.lane is not None:
            self.lane.close()


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Loads the models and gives the services, for as long as the block lasts. SIGHUP rescans meanwhile.

    Raises OperatorError where the models' path, the default model or the state cannot be.
    """
    if not settings.core_dumps:
        core_dumps.forbid()
    log = _open_log(settings)
    hosts = open_hosts(settings)
    try:
        async with (
            _open_keys(settings) as keys,
            serve_tokens(settings.auth, keys) as tokens,
            _open_caches(settings) as caches,
            open_limiter(settings) as limiter,
            recording(Ledger(keys.store.database), settings.state.usage_flush_s) as usage,
        ):
            observer = Observers(log.observer, usage)
            holder = CatalogHolder(Catalog(settings.default_model))
            reconciler = Reconciler(local_source(settings), open_loader(settings, caches.cache, hosts), holder)
            await reconciler.start()
            ids = Ids()
            gate = _open_gate(settings, keys, tokens, limiter)
            lane = _open_lane(settings, holder, observer, ids, gate)
            desk = None if tokens.own is None else TokenDesk(tokens.own, gate, settings.auth.token_lifetime_s)
            limits = settings.limits
            service = InferenceService(holder, limits.body, limits.max_queue_s, limits.max_streams)
            wire = Defence(settings)
            services = Services(
                settings, service, reconciler, observer, ids, log, time.time(), gate, keys, lane, wire, desk
            )
            with _rescan_on_hangup(reconciler), _spared_by_the_collector():
                try:
                    yield services
                finally:
                    services.drain()
                    service.close()
                    await _closed(reconciler)
                    wire.tell()
    finally:
        if hosts is not None:
            await hosts.close()
        log.close()


def _open_gate(settings: Settings, keys: Keys, tokens: Tokens, limiter: Limiter) -> Gate:
    def anonymous(loopback: bool) -> Principal:
        return stranger(settings.auth.mode, loopback=loopback, closed=keys.closed)

    identities: dict[str, Identities] = {"key": keys.keyring}
    if tokens.identities is not None:
        identities["token"] = tokens.identities
    if settings.tls.client_ca is not None:
        identities["certificate"] = CertificateIdentities(settings.tls.grants)
    return Gate(identities, limiter, anonymous, time.time)


def local_source(settings: Settings) -> LocalSource:
    """Where the models are. Raises OperatorError where no path is set."""
    if settings.models is None:
        raise OperatorError(
            "No models to serve: name a model file, a model folder or a repository.",
            hint="foretell serve PATH, or set FORETELL_MODELS",
        )
    return LocalSource(settings.models, registry.recognise, settings.trust.allows)


def open_loader(settings: Settings, open_cache: OpenCache = no_cache, hosts: Hosts | None = None) -> Loader:
    """What loads versions of the local source as the settings say."""
    execution = settings.execution
    policy = ExecutionPolicy(
        execution.mode, execution.max_call_ms, settings.limits.max_waiting_rows, can_host=hosts is not None
    )
    limits = settings.limits.body

    async def measured(
        model: Model, examples: Inputs, options: ExecutionOptions, refused: bool
    ) -> tuple[Executor | None, Measured]:
        return await prepare(model, examples, policy, options, refused=refused)

    def decoders(signature: Signature) -> Mapping[str, Decoders]:
        compiled = {codec.media_type: codec.compile(signature, limits) for codec in CODECS}
        return {media_type: fast for media_type, fast in compiled.items() if fast is not None}

    return Loader(
        open_files=local_source(settings).open,
        get_runtime=registry.get,
        prepare=measured,
        decoders=decoders,
        options=LoadOptions(settings.execution.threads),
        open_cache=open_cache,
        host=None if hosts is None else hosting(hosts, settings),
        mode=settings.execution.mode,
    )


def _open_log(settings: Settings) -> Log:
    log = settings.log
    return open_log(
        format=log.format,
        level=log.level,
        path=log.path,
        max_buffered_lines=log.max_buffered_lines,
        shared=settings.workers > 1,
    )


@asynccontextmanager
async def _open_keys(settings: Settings) -> AsyncIterator[Keys]:
    """The API keys of the state folder. Raises StateError."""
    state = settings.state
    auth = settings.auth
    closed = auth.mode == "on" or bool(auth.issuers) or settings.tls.client_ca is not None
    serving = serve_keys(state.place, state.url, state.pepper, closed=closed)
    keys = await asyncio.to_thread(serving.__enter__)
    try:
        yield keys
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


@asynccontextmanager
async def _open_caches(settings: Settings) -> AsyncIterator[Caches]:
    """The caches of this process. A Redis that is not there keeps nobody waiting. Raises OperatorError."""
    said = settings.cache
    store = None
    if said.redis_url is not None and said.models != "none":
        largest = said.max_entry_bytes + OVERHEAD_BYTES
        store = RedisStore(said.redis_url, budget_s=said.redis_timeout_ms / 1e3, max_value_bytes=largest)
    caches = Caches(
        CachePolicy(said.models, said.ttl_s),
        max_bytes=said.max_bytes,
        max_entry_bytes=said.max_entry_bytes,
        secret=said.signing,
        remote=store,
    )
    await caches.open()
    try:
        yield caches
    finally:
        await caches.close()


def _open_lane(settings: Settings, holder: CatalogHolder, observer: Observer, ids: Ids, gate: Gate) -> Lane | None:
    if not settings.lane:
        return None
    if not lane_supported():
        _log.warning("lane_off", reason=f"tested on uvicorn {TESTED_UVICORN}, this is {uvicorn.__version__}")
        return None
    limits = settings.limits
    lane = Lane(
        lambda catalog: single_paths(catalog, settings.prefix),
        observer,
        ids,
        gate,
        timeout_s=limits.timeout_s,
        max_body_bytes=limits.max_body_bytes,
        max_queue_s=limits.max_queue_s,
    )
    holder.subscribe(lane.refresh)
    return lane


@contextlib.contextmanager
def _rescan_on_hangup(reconciler: Reconciler) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, reconciler.request_rescan)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread, or no such signals here
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


@contextlib.contextmanager
def _spared_by_the_collector() -> Iterator[None]:
    """Leaves what the start has made out of garbage collections.

    The libraries of a few models are half a million objects; to walk them took 100 ms of the loop, every few seconds.
    A thousand requests under way are a hundred thousand more, which took 45 ms: what lives long is walked more seldom.
    """
    young, middle, old = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, middle, max(old, OLD))
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        gc.unfreeze()


async def _closed(reconciler: Reconciler) -> None:
    """Gives the models back. What was accepted has had ``drain_s`` to end by now, so a busy model is a stuck one."""
    try:
        await asyncio.wait_for(reconciler.close(), CLOSE_S)
    except TimeoutError:
        _log.warning("stop_incomplete", reason=f"models were still busy {CLOSE_S:g} s after all requests had ended")
