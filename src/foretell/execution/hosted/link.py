"""A web worker's connection to one host: one batch at a time goes out, its answer comes back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import DeadlineExceeded
from foretell.execution.base import Call, Run
from foretell.execution.hosted.frames import FrameError, FrameReader, describe_inputs, pack, read_outputs

Answer = tuple[Outputs, Run] | Exception


class RemoteError(RuntimeError):
    """What the model raised in its own process: the name of the exception and what it said."""


@dataclass(eq=False)
class Flight:
    """A batch that was sent to a host. ``alone``: one call in no company, so that a death is its doing."""

    number: int
    batch: list[Call]
    rows: int
    alone: bool
    sent_s: float = field(default_factory=time.perf_counter)


class Link(asyncio.Protocol):
    """``flight`` is the batch that is out. ``on_answer`` gets it back with its answer, ``on_lost`` without."""

    def __init__(
        self,
        number: int,
        client: int,
        signature: Signature,
        on_answer: Callable[[Link, Flight, Answer], None],
        on_lost: Callable[[Link, bool], None],
    ) -> None:
        self.number = number
        self.flight: Flight | None = None
        self.leaving = False
        self._client = client
        self._signature = signature
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._garbage = False

    @property
    def free(self) -> bool:
        """Whether it can take a batch."""
        return (
            self._transport is not None
            and self.flight is None
            and not self.leaving
            and not self._transport.is_closing()
        )

    @property
    def lost(self) -> bool:
        """Whether there is no connection (any more)."""
        return self._transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio types what it passes too widely
        self._write(pack({"op": "hello", "client": self._client}))

    def send(self, flight: Flight, inputs: Inputs, deadline_s: float) -> None:
        """Sends a batch. Past the deadline (``time.monotonic``) the host does not begin with it any more.

        Raises FrameError, and whatever msgpack does, for what does not travel; then nothing has been sent.
        """
        described, arrays = describe_inputs(inputs)
        header = {"op": "predict", "id": flight.number, "alone": flight.alone, "deadline": deadline_s, **described}
        frame = pack(header, arrays)
        self.flight = flight
        self._write(frame)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes it whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            if self.flight is None:  # not to be gathered either: it could be half a gigabyte
                raise FrameError("an answer to nothing that was asked")
            self._frames.feed(data)
            while (frame := self._frames.next()) is not None:
                self._take(*frame)
        except (FrameError, KeyError, TypeError, ValueError, IndexError, OverflowError):
            self._garbage = True
            if self._transport is not None:
                self._transport.abort()

    def _take(self, header: dict[str, Any], payload: bytearray) -> None:
        flight = self.flight
        if flight is None or header.get("id") != flight.number:
            raise FrameError("an answer to nothing that was asked")
        answer = self._read(header, payload, flight)
        self.flight = None
        self._on_answer(self, flight, answer)

    def _read(self, header: dict[str, Any], payload: bytearray, flight: Flight) -> Answer:
        if header.get("expired"):
            return DeadlineExceeded("The time allowed for this request passed while it waited for the model.")
        if "error" in header:
            name, said = header["error"]
            return RemoteError(f"{str(name)[:200]}: {str(said)[:2000]}")
        outputs = read_outputs(header, payload, self._signature, flight.rows)
        run = Run(int(header["rows"]), float(header["started"]), float(header["duration"]))
        if not (math.isfinite(run.started_s) and 0.0 <= run.duration_s < math.inf):
            raise FrameError("no call can have taken that long")
        return outputs, run

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why does not matter here
        self._transport = None
        self._on_lost(self, self._garbage)
