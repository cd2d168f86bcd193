"""The application around fake models, called in process: no socket, no real library."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from starlette.testclient import TestClient

from foretell.api.app import create_app
from foretell.bootstrap import STREAMS
from foretell.codecs.base import Codec
from foretell.codecs.csv import CsvCodec
from foretell.codecs.json import JsonCodec
from foretell.codecs.stream.base import StreamFormat
from foretell.core.identity import Ref
from foretell.core.ids import Ids
from foretell.core.signature import Column, ColumnType, Label, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.execution.costs import Choice, Costs
from foretell.execution.direct import DirectExecutor
from foretell.execution.prepare import Measured
from foretell.inference.service import InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry, Reason
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.runtimes.base import Model
from foretell.security.gate import Gate
from foretell.settings import Settings
from foretell.telemetry.observer import Outcome
from foretell.wire.defence import Defence
from tests.canary import look, request_headers
from tests.gates import open_gate

Make = Any


class Shop:
    """A classifier of three classes over columns x and y: class ``int(x)``, with the probability y where y is given."""

    model_type = "Shop"
    parameters: ClassVar[dict[str, Any]] = {"depth": 3}

    def __init__(
        self,
        classes: Sequence[Label] = (0, 1, 2),
        class_names: Sequence[str] | None = ("book", "game", "tea"),
        *,
        probabilities: bool = True,
    ) -> None:
        output = Output("classification", tuple(classes), tuple(class_names) if class_names else None, probabilities)
        columns = (Column("x", ColumnType.FLOAT, minimum=-10, example=1.0), Column("y", nullable=True, example=0.8))
        self.signature = Signature(columns, output=output)

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        x, y = inputs.values[:, 0], np.nan_to_num(inputs.values[:, 1], nan=0.5)
        if (x == -7).any():
            raise ValueError("the shop is closed at /srv/models/shop")
        indices = np.abs(x).astype(np.intp) % 3
        probabilities = np.repeat(((1 - y) / 2)[:, None], 3, axis=1)
        probabilities[np.arange(len(x)), indices] = y
        given = probabilities if self.signature.output.probabilities else None
        return Outputs(self.signature.output, indices=indices, probabilities=given)

    def close(self) -> None:
        """Holds nothing."""


class Price:
    """A regressor: x + y; infinite for x = 9."""

    model_type = "Price"
    parameters: ClassVar[dict[str, Any]] = {}
    signature = Signature((Column("x"), Column("y")), output=Output("regression"))

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        values = inputs.values.sum(axis=1)
        values[inputs.values[:, 0] == 9] = np.inf
        return Outputs(self.signature.output, values=values)

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class Observed:
    """An observer that keeps what it is told."""

    outcomes: list[Outcome] = field(default_factory=list)

    def request(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def answered(self, shared: Outcome, requests: Sequence[tuple[str, float]]) -> None:
        raise AssertionError(f"no lane here: {shared} {requests}")


@dataclass
class Light:
    """The services of an application with fake models."""

    settings: Settings
    holder: CatalogHolder
    service: InferenceService
    observer: Observed = field(default_factory=Observed)
    ids: Ids = field(default_factory=Ids)
    started_at: float = field(default_factory=time.time)
    gate: Gate = field(default_factory=open_gate)
    lane: None = None
    keys: Any = None
    wire: Defence = field(default_factory=lambda: Defence(Settings()))
    desk: Any = None
    codecs: tuple[Codec, ...] = (JsonCodec(), CsvCodec())
    streams: tuple[StreamFormat, ...] = STREAMS


def ready(name: str, model: Model, settings: Settings | None = None, executor: Make = DirectExecutor) -> Entry:
    """``model`` as a ready version; ``name`` is such as «shop v1»."""
    ref = Ref(*name.split())
    codec = JsonCodec()
    limits = (settings or Settings()).limits
    decoders = codec.compile(model.signature, limits.body)
    servable = Servable(
        ref=ref,
        runtime="fake",
        signature=model.signature,
        model=model,
        executor=executor(model, max_rows=64, max_waiting_rows=limits.max_waiting_rows),
        costs=Measured(Costs({1: 0.1}), Choice("direct", 64, "it is a fake")),
        digest="sha256:0",
        model_type=model.model_type,
        parameters=model.parameters,
        decoders={} if decoders is None else {codec.media_type: decoders},
        example=[column.example or 0.0 for column in model.signature.columns],
    )
    return Entry(ref, State.READY, None, servable)


def failed(name: str) -> Entry:
    """A version that could not be loaded."""
    return Entry(
        Ref(*name.split()), State.FAILED, Reason("integrity_failed", "model.skops was changed", "copy it again")
    )


@dataclass
class Api:
    """An application that runs: ask ``client``, look at ``services``."""

    client: TestClient
    services: Light

    @property
    def outcomes(self) -> list[Outcome]:
        return self.services.observer.outcomes

    def predict(self, path: str = "/api/v1/predict", features: Any = (1, 0.8), **more: Any) -> Any:
        """The JSON answer to ``features``, which must succeed."""
        answer = self.client.post(path, json={"features": features}, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def serving(
    *entries: Entry,
    root_path: str = "",
    gate: Gate | None = None,
    desk: Any = None,
    caller: tuple[str, int] = ("testclient", 50000),
    **options: Any,
) -> Iterator[Api]:
    """The application with these versions; ``options`` are settings. Without a ``gate`` everybody is let in.

    ``caller`` is the address that requests come from.
    """
    settings = Settings(**options)
    holder = CatalogHolder(Catalog.of(entries, settings.default_model))
    services = Light(
        settings, holder, InferenceService(holder, settings.limits.body), gate=gate or open_gate(), desk=desk
    )

    @asynccontextmanager
    async def open_services(_: Settings) -> AsyncIterator[Light]:
        yield services

    app = create_app(settings, open_services)
    with TestClient(
        app, raise_server_exceptions=False, root_path=root_path, headers=request_headers(), client=caller
    ) as client:
        client.event_hooks = {"response": [_looked_at]}
        yield Api(client, services)


def _looked_at(answer: Any) -> None:
    look(repr(answer.headers), "the headers of an answer")
    look(answer.read(), "the body of an answer")


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must be that one and hold what every problem holds."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 4096
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"] == code, document
    assert document["type"] == "https://foretell.dev/errors/" + code.replace("_", "-")
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["title"] and document["detail"]
    return document
