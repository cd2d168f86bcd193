"""Answers batches in the host: what waits when the model is free, from whichever web worker, is one call."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.core.values import Inputs, Outputs, join
from foretell.execution.hosted.frames import FrameError, FrameReader, describe_outputs, pack, read_inputs
from foretell.execution.hosted.status import Status
from foretell.runtimes.base import Model

LEAVE_S = 10.0
BEAT_S = 1.0
"""How often, at least, a host that has nothing to do says that it is there."""
_READ_BYTES = 1024 * 1024
_TEXT_CHARS = 2000


class Peer:
    """The connection of one web worker."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = FrameReader()
        self.client = 0
        self.unsent = bytearray()


@dataclass(slots=True)
class Request:
    """One frame that waits for the model. ``alone``: it shares a call with no other."""

    peer: Peer
    number: int
    inputs: Inputs
    deadline_s: float
    alone: bool


class Service:
    """One thread, one model. A call that fails with several frames in it is made anew for each of them."""

    def __init__(
        self, model: Model, listener: socket.socket, status: Status, max_rows: int, selector: selectors.BaseSelector
    ) -> None:
        self._model = model
        self._listener = listener
        self._status = status
        self._max_rows = max_rows
        self._selector = selector
        self._peers: set[Peer] = set()
        self._waiting: deque[Request] = deque()
        self._wake = os.pipe()
        self._leave_at_s: float | None = None

    def stop(self) -> None:
        """Takes no new connections and ends when those there are have gone. For a signal handler."""
        self._leave_at_s = time.monotonic() + LEAVE_S
        os.write(self._wake[1], b"x")

    def serve(self) -> None:
        """Returns after ``stop``."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        while not self._left():
            wait_s = 0.0 if self._waiting else BEAT_S if self._leave_at_s is None else 0.1
            self._status.beat(time.monotonic_ns())
            for key, events in self._selector.select(wait_s):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, Peer):
                    self._attend(key.data, events)
                else:
                    os.read(self._wake[0], 1)
            if self._waiting:
                self._run()

    def _left(self) -> bool:
        if self._leave_at_s is None or self._waiting:
            return False
        return not self._peers or time.monotonic() > self._leave_at_s

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it went away again
            return
        connection.setblocking(False)
        peer = Peer(connection)
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _attend(self, peer: Peer, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._flush(peer)
            if events & selectors.EVENT_READ:
                data = peer.connection.recv(_READ_BYTES)
                if not data:
                    raise ConnectionResetError
                peer.frames.feed(data)
                while (frame := peer.frames.next()) is not None:
                    self._receive(peer, *frame)
        except BlockingIOError:
            return
        except (OSError, FrameError, KeyError, TypeError, ValueError):  # gone, or no web worker of ours
            self._forget(peer)

    def _receive(self, peer: Peer, header: dict[str, Any], payload: bytearray) -> None:
        if header.get("op") == "hello":
            peer.client = int(header["client"])
            return
        deadline_s = header.get("deadline")
        self._waiting.append(
            Request(
                peer,
                int(header["id"]),
                read_inputs(header, payload),
                float("inf") if deadline_s is None else float(deadline_s),
                bool(header.get("alone")),
            )
        )

    def _forget(self, peer: Peer) -> None:
        self._peers.discard(peer)
        self._selector.unregister(peer.connection)
        peer.connection.close()
        self._waiting = deque(request for request in self._waiting if request.peer is not peer)

    def _run(self) -> None:
        batch = self._take()
        if not batch:
            return
        answer = self._call(batch)
        if isinstance(answer, tuple):
            self._deliver(batch, *answer)
        elif len(batch) == 1:
            self._fail(batch[0], answer)
        else:
            for request in batch:
                single = self._call([request])
                if isinstance(single, tuple):
                    self._deliver([request], *single)
                else:
                    self._fail(request, single)

    def _take(self) -> list[Request]:
        """The next call's frames, as long as they fit. What nobody waits for any more is answered so, unrun."""
        batch: list[Request] = []
        rows = 0
        now_s = time.monotonic()
        while self._waiting:
            request = self._waiting[0]
            if batch and (request.alone or batch[0].alone or rows + request.inputs.count > self._max_rows):
                break
            self._waiting.popleft()
            if request.deadline_s < now_s:
                self._send(request, {"expired": True}, ())
                self._flush_or_forget(request.peer)
                continue
            batch.append(request)
            rows += request.inputs.count
        return batch

    def _call(self, batch: Sequence[Request]) -> tuple[Outputs, float, float] | BaseException:
        """The model's answer with when it began and how long it took, or what went wrong. Never raises."""
        started_s = time.perf_counter()
        self._status.begin(time.monotonic_ns(), [(request.peer.client, request.number) for request in batch])
        try:
            inputs = join([request.inputs for request in batch])
            outputs = self._model.predict(inputs)
            duration_s = time.perf_counter() - started_s
            if outputs.count != inputs.count:
                return RuntimeError(f"the model gave {outputs.count} rows for {inputs.count}")
        except BaseException as error:  # a model that calls sys.exit() fails its own callers and nobody else
            return error
        finally:
            self._status.end()
        return outputs, started_s, duration_s

    def _deliver(
        self,
        batch: Sequence[Request],
        outputs: Outputs,
        started_s: float,
        duration_s: float,
    ) -> None:
        start = 0
        for request in batch:
            stop = start + request.inputs.count
            try:
                described, arrays = describe_outputs(outputs.part(start, stop))
                times = {"rows": outputs.count, "started": started_s, "duration": duration_s}
                self._send(request, {**described, **times}, arrays)
            except Exception as error:  # an answer that does not travel, or is too large to
                self._fail(request, error)
            start = stop
            self._flush_or_forget(request.peer)

    def _fail(self, request: Request, error: BaseException) -> None:
        self._send(request, {"error": [type(error).__name__[:200], text_of(error)]}, ())
        self._flush_or_forget(request.peer)

    def _send(self, request: Request, answer: dict[str, Any], arrays: Sequence[Any]) -> None:
        request.peer.unsent += pack({"id": request.number, **answer}, arrays)

    def _flush_or_forget(self, peer: Peer) -> None:
        if peer in self._peers:
            try:
                self._flush(peer)
            except BlockingIOError:
                return
            except OSError:
                self._forget(peer)

    def _flush(self, peer: Peer) -> None:
        """Sends what it can; asks to be told when more can be sent, while there is more."""
        try:
            while peer.unsent:
                sent = peer.connection.send(peer.unsent)
                del peer.unsent[:sent]
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.unsent else 0)
        if self._selector.get_key(peer.connection).events != wanted:
            self._selector.modify(peer.connection, wanted, peer)


def text_of(error: BaseException) -> str:
    """What an exception says, clipped, as text that travels; also for those that fail to say it."""
    try:
        return sendable(str(error)[:_TEXT_CHARS]) or "no reason given"
    except BaseException:
        return "no reason given"


def sendable(text: str) -> str:
    """The text without halves of surrogate pairs, as file names that are no UTF-8 bring: nothing encodes them."""
    return text.encode(errors="replace").decode()
