"""A hosted model as the loader sees it: predicts by asking its host, and waits. For trying and measuring a version."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Any

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import ManifestError
from foretell.execution.hosted.breaker import Cause
from foretell.execution.hosted.frames import FrameError, FrameReader, describe_inputs, pack, read_outputs
from foretell.execution.hosted.hosts import Lease
from foretell.execution.hosted.link import RemoteError

GRACE_S = 5.0
TRIES = 4
"""How often one call is sent where each host is killed from outside."""
_LOOK_S = 0.02
_READ_BYTES = 1024 * 1024


class HostedModel:
    """The model behind a lease. Closing it, or the executor made for it, gives the lease back."""

    def __init__(self, lease: Lease, described: Mapping[str, Any], client: int) -> None:
        try:
            self.signature = Signature.from_document(described["signature"])
            self.model_type = str(described["model_type"])[:200]
            self.parameters: Mapping[str, Any] = dict(described["parameters"])
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError("what its host says of it cannot be read") from error
        self.lease = lease
        self.client = client
        self._loop = asyncio.get_running_loop()

    def predict(self, inputs: Inputs) -> Outputs:
        """Blocking; never on the event loop's thread. Raises RemoteError for what the model raised.

        Raises ConnectionError where the host dies over it. One that was killed from outside, or with its supervisor,
        did not: its successor is asked.
        """
        for _ in range(TRIES - 1):
            number, path = self._host()
            try:
                return self._ask(path, inputs)
            except TimeoutError:
                raise
            except OSError:
                if self._end_of(number) != "killed":
                    raise
        return self._ask(self._host()[1], inputs)

    def _ask(self, path: str, inputs: Inputs) -> Outputs:
        described, arrays = describe_inputs(inputs)
        header = {"op": "predict", "id": 0, "alone": True, "deadline": None, **described}
        frames = FrameReader()
        with socket.socket(socket.AF_UNIX) as connection:
            until_s = time.monotonic() + self.lease.spec.timeout_s + GRACE_S
            connection.settimeout(self.lease.spec.timeout_s + GRACE_S)
            connection.connect(path)
            connection.sendall(pack({"op": "hello", "client": self.client}) + pack(header, arrays))
            while (frame := frames.next()) is None:
                if time.monotonic() > until_s:  # it would hold up the loading of all other versions
                    raise ConnectionError("its process answers in drops, and has not come to an end")
                data = connection.recv(_READ_BYTES)
                if not data:
                    raise ConnectionError("its process died over this call; the server's log says how")
                frames.feed(data)
        answer, payload = frame
        if "error" in answer:
            name, said = answer["error"]
            raise RemoteError(f"{name}: {said}")
        try:
            return read_outputs(answer, payload, self.signature, inputs.count)
        except FrameError as error:
            raise ConnectionError(f"its process gave an answer that cannot be read: {error}") from error

    def _host(self) -> tuple[int, str]:
        """The number and the socket of a host that answers."""
        until_s = time.monotonic() + self.lease.spec.timeout_s
        while not (hosts := list(self.lease.replicas.items())):
            if time.monotonic() > until_s:
                raise ConnectionError("its process died, and no other has come in its place")
            time.sleep(_LOOK_S)
        return hosts[0]

    def _end_of(self, number: int) -> Cause | None:
        """How this host came to its end; None where nobody says that it did."""
        until_s = time.monotonic() + GRACE_S
        while number not in self.lease.ends and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        return self.lease.ends.get(number)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self.lease.release)
