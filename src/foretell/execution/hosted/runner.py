"""The host: loads one version in this process and answers batches on a Unix socket, until it is stopped or killed.

Started by ``boot``. What it needs, besides what the model needs, is numpy and msgpack. It reads its task from a file
and writes one JSON line to the descriptor it was given: that it is ready and what it loaded, or why not.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from foretell.core.signature import Signature
from foretell.errors import ArtifactError
from foretell.execution.hosted.frames import pack
from foretell.execution.hosted.service import Service, sendable, text_of
from foretell.execution.hosted.spec import HostSpec
from foretell.execution.hosted.status import Status
from foretell.runtimes.base import LoadOptions, Model
from foretell.sources.integrity import verified

BACKLOG = 64
NICENESS = 5
"""Hosts give way to web workers: what answers in the loop is not to wait for a large model's turn to end."""
_PR_SET_PDEATHSIG = 1
_TEXT_CHARS = 2000
_PARAMETERS_BYTES = 65_536


def run(said: int, task_path: str) -> int:
    """Loads and serves. Returns the exit code."""
    task = json.loads(Path(task_path).read_text())
    _die_with(task["parent"])
    os.nice(NICENESS)
    spec = HostSpec.from_document(task["spec"])
    with ExitStack() as stack:
        try:
            model = _load(spec, stack)
            described = _describe(model)
        except BaseException as error:  # whatever a model does while it loads: it is told, and this process ends
            _tell(said, {"failed": _failure(error)})
            return 1
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(task["socket"])
        listener.listen(BACKLOG)
        listener.setblocking(False)
        selector = stack.enter_context(selectors.DefaultSelector())
        service = Service(model, listener, Status(task["status"]), spec.max_rows, selector)
        signal.signal(signal.SIGTERM, lambda *_: service.stop())
        _tell(said, {"ready": described})
        os.close(said)
        service.serve()
    return 0


def _die_with(parent: int) -> None:
    """Lets the kernel end this process with the one that started it."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _load(spec: HostSpec, stack: ExitStack) -> Model:
    """The files stay open, and so where they were verified, for as long as the process lives."""
    module, _, attribute = spec.runtime.partition(":")
    runtime = getattr(importlib.import_module(module), attribute)
    files = stack.enter_context(verified(Path(spec.folder), spec.artifacts))
    signature = None if spec.signature is None else Signature.from_document(spec.signature)
    options = LoadOptions(threads=spec.threads, exclusive=True, device=spec.device)
    model: Model = runtime.load(files.path(spec.artifact), signature, options)
    files.confirm()
    return model


def _describe(model: Model) -> dict[str, Any]:
    return {
        "signature": model.signature.to_document(),
        "model_type": sendable(str(model.model_type)[:200]),
        "parameters": _parameters(model),
    }


def _parameters(model: Model) -> dict[str, Any]:
    """For people to see, so none are better than a model that cannot load for a number that does not travel."""
    text = json.dumps(dict(model.parameters), default=str)
    try:
        parameters: dict[str, Any] = json.loads(text) if len(text) <= _PARAMETERS_BYTES else {}
        pack(parameters)
    except (ValueError, OverflowError):
        return {}
    return parameters


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, ArtifactError):
        return {"code": error.code, "detail": sendable(error.detail[:_TEXT_CHARS]), "hint": error.hint}
    return {"code": "load_failed", "detail": f"loading the model raised {type(error).__name__}: {text_of(error)}"}


def _tell(said: int, status: dict[str, Any]) -> None:
    data = json.dumps(status).encode() + b"\n"
    while data:
        data = data[os.write(said, data) :]
