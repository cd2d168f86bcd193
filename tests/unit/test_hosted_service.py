"""The host's side of hosted execution: whatever its model gives or is given, it goes on for the others."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Outputs, Tensors
from foretell.execution.hosted import frames as framing
from foretell.execution.hosted.executor import HostedExecutor
from foretell.execution.hosted.hosts import Hosts, Lease
from foretell.execution.hosted.link import RemoteError
from tests.calls import WAIT_S, Recorded
from tests.hosting import CLIENT, HostBeside, spec

SIGNATURE = Signature((Column("x"),), output=Output("regression"))


class Odd:
    """Answers with what cannot be sent where a row says so."""

    signature = SIGNATURE
    model_type = "Odd"
    parameters: ClassVar[dict[str, Any]] = {}

    def predict(self, inputs: Inputs) -> Outputs:
        values = inputs.values[:, 0]  # type: ignore[union-attr]  # a matrix
        if 1 in values:
            return Outputs(SIGNATURE.output, values=np.array(["\ud800"] * inputs.count, dtype=object))
        if 2 in values:
            raise ValueError("\ud800")
        if 3 in values:
            return Outputs(SIGNATURE.output, values=np.zeros((inputs.count, 100)))
        return Outputs(SIGNATURE.output, values=values)


@pytest.mark.parametrize("deed", [1.0, 2.0, 3.0], ids=["text", "message", "size"])
def test_an_answer_that_cannot_be_sent_fails_its_own_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: float
) -> None:
    monkeypatch.setattr(framing, "MAX_PAYLOAD_BYTES", 512)

    async def scenario() -> None:
        executor = beside.executor(Odd(), 64, 4096)
        bad = Recorded([[deed]])
        executor.submit(bad)
        assert isinstance(await bad.answer(), RemoteError)
        good = Recorded([[5.0]])
        executor.submit(good)
        assert await good.answer() == [5.0]
        assert executor.waiting_rows == 0
        await executor.close()

    with HostBeside(tmp_path) as beside:
        asyncio.run(scenario())


class Sums:
    """Sums up what it gets, after the gate."""

    signature = SIGNATURE
    model_type = "Sums"
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()

    def predict(self, inputs: Inputs) -> Outputs:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        assert isinstance(inputs, Tensors)
        return Outputs(SIGNATURE.output, values=inputs.arrays["t"].sum(axis=1))


def test_inputs_of_two_workers_that_do_not_go_together_go_one_by_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        model = Sums()
        path = beside._serve(model, 64)
        executors = []
        for client in range(3):
            lease = Lease(Hosts(tmp_path), spec())
            lease.replicas = {1: path}
            executors.append(HostedExecutor(SIGNATURE, lease, CLIENT + client, max_rows=64, max_waiting_rows=64))
        calls = [Tensored(Tensors({"t": np.ones((1, width))})) for width in (1, 2, 3)]
        executors[0].submit(calls[0])
        await asyncio.to_thread(model.entered.wait, WAIT_S)
        for executor, call in zip(executors[1:], calls[1:], strict=True):
            executor.submit(call)
        await asyncio.sleep(0.1)
        model.gate.set()
        assert [await call.answer() for call in calls] == [[1.0], [2.0], [3.0]]
        for executor in executors:
            await executor.close()

    with HostBeside(tmp_path) as beside:
        asyncio.run(scenario())


class Tensored(Recorded):
    """A call of one row of tensors."""

    def __init__(self, inputs: Tensors) -> None:
        super().__init__([[0.0]])
        self.rows = inputs
