"""Servers with keys and limits, and callers who ask them for the same prediction again and again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foretell.core.access.grant import Grant
from foretell.core.access.rates import Rate
from foretell.security.audit import Author
from foretell.security.keys.opening import open_keys
from tests.e2e.process import Serving
from tests.wire import Wire, post

SINGLE = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()


def iris(models: Path) -> Path:
    """The folder with the model that the callers ask: in ONNX, so that its servers are soon up."""
    import foretell
    from tests.zoo import specimen

    found = specimen("sklearn-iris-named")
    names = ["a", "b", "c"]
    foretell.package(found.estimator, models / "iris" / "v1", example=found.X, class_names=names, format="onnx")
    return models


def make_key(folder: Path, name: str, *rates: str) -> str:
    with open_keys(folder / "state") as store:
        grant = Grant(name, name, frozenset({"predict"}), rates=tuple(map(Rate.parse, rates)))
        return store.create(grant, Author("tests"))[1]


def flood(servers: list[Serving], key: str, requests: int, connections: int = 8) -> dict[int, int]:
    """How often which status was answered to so many requests, over connections to all of the servers."""

    def send(number: int) -> dict[int, int]:
        counts: dict[int, int] = {}
        with Wire(servers[number % len(servers)].port, wait_s=60) as wire:
            for _ in range(requests // connections):
                wire.send(post("/api/v1/predict", SINGLE, f"Authorization: Bearer {key}"))
                status = wire.answer().status
                counts[status] = counts.get(status, 0) + 1
        return counts

    total: dict[int, int] = {}
    with ThreadPoolExecutor(connections) as pool:
        for counts in pool.map(send, range(connections)):
            for status, count in counts.items():
                total[status] = total.get(status, 0) + count
    return total


def batch(server: Serving, key: str, rows: int) -> int:
    body = json.dumps({"features": [[5.1, 3.5, 1.4, 0.2]] * rows}).encode()
    with Wire(server.port) as wire:
        wire.send(post("/api/v1/predict/batch", body, f"Authorization: Bearer {key}"))
        return wire.answer().status


def status(server: Serving, *headers: str) -> int:
    with Wire(server.port) as wire:
        wire.send(post("/api/v1/predict", SINGLE, *headers))
        return wire.answer().status
