"""A whole application around a fake model, on a real port, in a thread of the test process."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import uvicorn

from foretell.api.app import create_app
from foretell.api.native.doors import single_paths
from foretell.bootstrap import STREAMS
from foretell.caching.caches import Caches
from foretell.caching.policy import CachePolicy
from foretell.codecs.base import Codec
from foretell.codecs.csv import CsvCodec
from foretell.codecs.json import JsonCodec
from foretell.codecs.stream.base import StreamFormat
from foretell.core.identity import Ref
from foretell.core.ids import Ids
from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.execution.base import Executor
from foretell.execution.costs import Choice, Costs
from foretell.execution.direct import DirectExecutor
from foretell.execution.prepare import Measured
from foretell.inference.service import InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.loader import OpenCache, no_cache
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.security.gate import Gate
from foretell.settings import Settings
from foretell.telemetry.observer import Outcome
from foretell.wire.defence import Defence
from foretell.wire.lane import Lane
from foretell.wire.protocol import LaneProtocol
from tests.gates import open_gate

WAIT_S = 30.0
KEEP_ALIVE_S = 60
SIGNATURE = Signature((Column("x"), Column("y")), output=Output("regression"))


class Sum:
    """10 x + y: an answer that is unique for the rows the tests send. ``poison`` in x makes the whole batch fail."""

    signature = SIGNATURE
    model_type = "Sum"
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, poison: float = -1.0) -> None:
        self.poison = poison
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[int] = []

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        self.batches.append(inputs.count)
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if (inputs.values[:, 0] == self.poison).any():
            raise ValueError("poisoned")
        with np.errstate(over="ignore"):
            return Outputs(self.signature.output, values=inputs.values[:, 0] * 10.0 + inputs.values[:, 1])

    def close(self) -> None:
        self.gate.set()


@dataclass
class Observed:
    """An observer that keeps what it is told."""

    outcomes: list[Outcome] = field(default_factory=list)
    lane: list[tuple[Outcome, str, float]] = field(default_factory=list)

    def request(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def answered(self, shared: Outcome, requests: Any) -> None:
        self.lane += [(shared, request_id, ms) for request_id, ms in requests]

    @property
    def every(self) -> list[Outcome]:
        return [*self.outcomes, *(shared for shared, _, _ in self.lane)]

    @property
    def ids(self) -> list[str]:
        return [outcome.request_id for outcome in self.outcomes] + [request_id for _, request_id, _ in self.lane]


@dataclass
class Light:
    """The services of an application with one fake model."""

    settings: Settings
    service: InferenceService
    observer: Observed
    ids: Ids
    started_at: float
    lane: Lane | None
    servable: Servable
    wire: Defence
    keys: Any = None
    desk: Any = None
    codecs: tuple[Codec, ...] = (JsonCodec(), CsvCodec())
    streams: tuple[StreamFormat, ...] = STREAMS
    gate: Gate = field(default_factory=open_gate)

    def drain(self) -> None:
        """Refuses new work from here on, as ``bootstrap.Services`` does."""
        self.service.draining = True
        if self.lane is not None:
            self.lane.close()


@dataclass
class Running:
    """A server that runs."""

    port: int
    services: Light
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def observer(self) -> Observed:
        return self.services.observer

    def stop(self) -> None:
        """What SIGTERM does to uvicorn."""
        self.server.should_exit = True

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Waits until ``condition`` holds; fails after a while."""
        until(condition)


def until(condition: Callable[[], bool]) -> None:
    """Waits until ``condition`` holds; fails after a while."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        threading.Event().wait(0.005)


def caches(**options: Any) -> Caches:
    """Caches for every model, in this process alone unless told otherwise."""
    terms: dict[str, Any] = {"max_bytes": 1 << 24, "max_entry_bytes": 1 << 18, "secret": "a secret of the tests"}
    return Caches(CachePolicy("all"), **(terms | options))


MakeExecutor = Callable[..., Executor]


def light_servable(
    model: Any, settings: Settings, make_executor: MakeExecutor, open_cache: OpenCache = no_cache
) -> Servable:
    """``model`` as version v1 of «sum»."""
    codec = JsonCodec()
    limits = settings.limits.body
    decoders = codec.compile(model.signature, limits)
    executor = make_executor(model, max_rows=64, max_waiting_rows=settings.limits.max_waiting_rows)
    return Servable(
        ref=Ref("sum", "v1"),
        runtime="fake",
        signature=model.signature,
        model=model,
        executor=executor,
        costs=Measured(Costs({1: 0.1}), Choice("direct", 64, "it is a fake")),
        digest="sha256:0",
        model_type="Sum",
        decoders={} if decoders is None else {codec.media_type: decoders},
        cache=open_cache(Ref("sum", "v1"), "sha256:0", model.signature, None),
    )


@contextmanager
def running(
    model: Any | None = None,
    *,
    lane: bool = True,
    make_executor: MakeExecutor = DirectExecutor,
    open_cache: OpenCache = no_cache,
    others: Sequence[Entry] = (),
    gate: Gate | None = None,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> Iterator[Running]:
    """Serves ``model``, and ``others`` beside it, with the lane or without it. ``options`` are settings.

    Without a ``gate`` everybody is let in.
    """
    # the default of five seconds is little on a busy machine; whoever tests idle connections says how long they may be
    settings = Settings(lane=lane, default_model="sum", **({"keep_alive_s": KEEP_ALIVE_S} | options))
    made: list[Light] = []
    guard = gate or open_gate()

    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Light]:
        servable = light_servable(model or Sum(), settings, make_executor, open_cache)
        holder = CatalogHolder(Catalog.of([Entry(servable.ref, State.READY, None, servable), *others], "sum"))
        observer, ids = Observed(), Ids()
        way = None
        if lane:
            limits = settings.limits
            way = Lane(
                lambda catalog: single_paths(catalog, settings.prefix),
                observer,
                ids,
                guard,
                timeout_s=limits.timeout_s,
                max_body_bytes=limits.max_body_bytes,
            )
            holder.subscribe(way.refresh)
        service = InferenceService(holder, settings.limits.body)
        services = Light(settings, service, observer, ids, time.time(), way, servable, Defence(settings), gate=guard)
        made.append(services)
        yield services
        service.close()
        servable.retire()
        await servable.closed()

    config = uvicorn.Config(
        create_app(settings, open_services),
        port=0,
        http=LaneProtocol,
        ssl_context_factory=None if tls is None else lambda _config, _make: tls,
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # as ``foretell serve``: callers are resolved by us alone
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=20,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(port, made[0], server, thread)
    finally:
        server.should_exit = True
        if model is not None:
            model.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()


WAYS: tuple[str, ...] = ("lane", "lane, remembered", "ordinary")
"""The ways a prediction can go, all of which must come to the same end."""


def by_way(way: str, model: Any | None = None, **options: Any) -> AbstractContextManager[Running]:
    """``running`` by one of ``WAYS``."""
    if way == "lane, remembered":
        options = {"open_cache": caches().cache} | options
    return running(model, lane=way != "ordinary", **options)


def run(coroutine: Any) -> Any:
    """Runs a coroutine to its end."""
    return asyncio.run(coroutine)
