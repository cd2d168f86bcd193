"""From a warmed model to its executor: measure, choose, build."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from foretell.core.values import Inputs, Matrix, Table, Tensors
from foretell.execution.base import Executor
from foretell.execution.costs import Choice, Costs, Mode, choose, measure_calls, measure_loop_lag
from foretell.execution.direct import DirectExecutor
from foretell.execution.threaded import ThreadedExecutor
from foretell.runtimes.base import Model


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """What the settings say about running models."""

    mode: Mode | Literal["auto"] = "auto"
    max_call_ms: float = 5.0
    max_waiting_rows: int = 16_384


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured and chosen for a version."""

    costs: Costs
    choice: Choice

    def to_document(self) -> dict[str, Any]:
        """As ``/models/{model}`` shows it."""
        choice = {"mode": self.choice.mode, "max_call_rows": self.choice.max_rows, "reason": self.choice.reason}
        return {**choice, **self.costs.to_document()}


async def prepare(
    model: Model, examples: Inputs, policy: ExecutionPolicy, *, refused: bool = False
) -> tuple[Executor, Measured]:
    """Measures ``model`` on rows like ``examples`` (at least one) and gives the executor it should run on.

    The calls are made off the event loop: other versions may be answering. Raises what the model raises; but where it
    is known to refuse these rows (``refused``), the time of a refusal stands for that of a call.
    """

    def call(rows: int) -> None:
        with contextlib.suppress(*([Exception] if refused else [])):
            model.predict(repeated(examples, rows))

    costs = Costs(await asyncio.to_thread(measure_calls, call))
    if policy.mode == "auto" and choose(Costs(costs.call_ms, 0.0), policy.max_call_ms).mode == "threaded":
        # only where a thread that costs the loop nothing would be taken does the lag matter
        costs = Costs(costs.call_ms, await measure_loop_lag(lambda: call(1)))
    choice = choose(costs, policy.max_call_ms, policy.mode)
    make = DirectExecutor if choice.mode == "direct" else ThreadedExecutor
    executor = make(model, max_rows=choice.max_rows, max_waiting_rows=policy.max_waiting_rows, costs=costs)
    return executor, Measured(costs, choice)


def repeated(examples: Inputs, rows: int) -> Inputs:
    """``rows`` rows made by repeating the examples in order."""
    picks = np.arange(rows) % examples.count
    if isinstance(examples, Matrix):
        return Matrix(np.ascontiguousarray(examples.values[picks]))
    if isinstance(examples, Table):
        return Table({name: values[picks] for name, values in examples.columns.items()})
    return Tensors({name: array[picks] for name, array in examples.arrays.items()})
