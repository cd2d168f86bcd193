"""Hosts for tests: one on a thread beside the test, whose model the test can watch; and models that misbehave."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from pathlib import Path
from typing import Any, Self

from foretell.execution.hosted.executor import HostedExecutor
from foretell.execution.hosted.hosts import Hosts, Lease
from foretell.execution.hosted.service import Service
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.status import Status

CLIENT = 7


def spec(**changes: Any) -> HostSpec:
    """A version to host, of which a test changes what it is about."""
    values: dict[str, Any] = {
        "model": "m", "version": "v1", "runtime": "module:runtime", "folder": "/nowhere", "artifact": "model.py",
        "artifacts": (), "signature": None, "python": "python", "threads": 1, "device": "cpu", "replicas": 1,
        "max_rows": 64, "timeout_s": 5.0, "memory_mib": 1024,
    }  # fmt: skip
    return HostSpec(**{**values, **changes})


class HostBeside:
    """Runs hosts on threads of this process, over real sockets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: list[tuple[Service, threading.Thread]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for service, thread in self._services:
            service.stop()
            thread.join(20)
            assert not thread.is_alive()

    def executor(self, model: Any, max_rows: int, max_waiting_rows: int) -> HostedExecutor:
        """An executor with one host, which runs ``model`` as it is. From within a loop."""
        lease = Lease(Hosts(self._folder), spec(max_rows=max_rows))
        lease.replicas = {1: self._serve(model, max_rows)}
        return HostedExecutor(model.signature, lease, CLIENT, max_rows=max_rows, max_waiting_rows=max_waiting_rows)

    def _serve(self, model: Any, max_rows: int) -> str:
        number = len(self._services)
        path = str(self._folder / f"{number}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        page = Status.create()
        status = Status(page)
        os.close(page)
        selector = selectors.DefaultSelector()
        service = Service(model, listener, status, max_rows, selector)

        def serve() -> None:
            with listener, selector:
                service.serve()
            status.close()

        thread = threading.Thread(target=serve, name="host beside", daemon=True)
        thread.start()
        self._services.append((service, thread))
        return path


MISBEHAVING = '''
import ctypes
import os
import socket
import time

import numpy as np


class Misbehaving:
    """Doubles ``x``; what else it does, ``deed`` says."""

    def load(self, folder):
        self.kept = []

    def predict(self, x: float, deed: float) -> float:
        deeds = set(np.asarray(deed).tolist())
        if 1 in deeds:
            time.sleep(600)
        if 2 in deeds:
            ctypes.string_at(0)
        if 3 in deeds:
            os._exit(3)
        if 4 in deeds:
            while True:
                print("x" * 100_000)
        if 5 in deeds:
            self.kept += [np.ones(2**24) for _ in range(80)]
        if 6 in deeds:
            for fd in range(3, 256):
                try:
                    socket.socket(fileno=os.dup(fd)).send(b"\\xff" * 1000)
                except OSError:
                    pass
        if 7 in deeds:
            raise ValueError("no")
        if 8 in deeds:
            self.kept.append(np.ones(2**17))
        return np.asarray(x) * 2
'''
"""A model that does what it is told: hangs, crashes, leaves, prints, eats memory, writes into its sockets, leaks."""

DEEDS = {"hang": 1, "segfault": 2, "exit": 3, "print": 4, "eat": 5, "garbage": 6, "raise": 7, "leak": 8}
