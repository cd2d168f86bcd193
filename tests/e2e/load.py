"""Light, steady load that notes every request that was not answered as it should."""

from __future__ import annotations

import threading
from typing import Any, Self

from tests.e2e.client import Client

FLOWER = [5.1, 3.5, 1.4, 0.2]


class Load:
    """Callers that ask iris for the same flower again and again, each on a connection of its own, while it is open.

    ``versions`` are those that answered, ``faults`` whatever else came.
    """

    def __init__(self, port: int, callers: int = 4) -> None:
        self.answered = 0
        self.versions: set[str] = set()
        self.faults: list[Any] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,), name=f"caller-{i}") for i in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends after the requests that are on their way."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"

    def _ask(self, port: int) -> None:
        while not self._over.is_set():
            try:
                with Client(port) as client:
                    self._on(client)
            except (OSError, EOFError, AssertionError) as error:
                self.faults.append(error)
                self._over.wait(0.05)

    def _on(self, client: Client) -> None:
        for _ in range(50):
            if self._over.wait(0.002):
                return
            answer = client.post("/predict", {"features": FLOWER})
            if answer.status == 200 and answer.json["prediction"] == 0:
                self.answered += 1
                self.versions.add(answer.json["model_version"])
            else:
                self.faults.append(answer)
