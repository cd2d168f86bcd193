"""From a warmed model to its executor: measure, choose, build."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from foretell.core.execution import ExecutionOptions, Mode
from foretell.core.values import Inputs, Matrix, Table, Tensors
from foretell.execution.base import Executor
from foretell.execution.costs import Choice, Costs, choose, measure_calls, measure_loop_lag
from foretell.execution.direct import DirectExecutor
from foretell.execution.hosted.executor import HostedExecutor
from foretell.execution.hosted.model import HostedModel
from foretell.execution.threaded import ThreadedExecutor
from foretell.runtimes.base import Model


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """What the settings say about running models. ``can_host``: models may be given processes of their own."""

    mode: Mode | Literal["auto"] = "auto"
    max_call_ms: float = 5.0
    max_waiting_rows: int = 16_384
    can_host: bool = False


class Documented(Protocol):
    """What can be shown in ``/models/{model}``."""

    def to_document(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured and chosen for a version, and what its hosts say of themselves, where it has any."""

    costs: Costs
    choice: Choice
    hosts: Documented | None = None

    def to_document(self) -> dict[str, Any]:
        """As ``/models/{model}`` shows it."""
        choice = {"mode": self.choice.mode, "max_call_rows": self.choice.max_rows, "reason": self.choice.reason}
        hosts = {} if self.hosts is None else {"hosts": self.hosts.to_document()}
        return {**choice, **self.costs.to_document(), **hosts}


async def prepare(
    model: Model,
    examples: Inputs,
    policy: ExecutionPolicy,
    options: ExecutionOptions | None = None,
    *,
    refused: bool = False,
) -> tuple[Executor | None, Measured]:
    """Measures ``model`` on rows like ``examples`` (at least one) and gives the executor it should run on.

    None: it should be hosted, and is not yet. ``options`` are the author's; they go before the policy. The calls are
    made off the event loop: other versions may be answering. Raises what the model raises; but where it is known to
    refuse these rows (``refused``), the time of a refusal stands for that of a call.
    """

    def call(rows: int) -> None:
        with contextlib.suppress(*([Exception] if refused else [])):
            model.predict(repeated(examples, rows))

    options = options or ExecutionOptions()
    wanted = policy.mode if options.mode == "auto" else options.mode
    costs = Costs(await asyncio.to_thread(measure_calls, call))
    if isinstance(model, HostedModel):
        return _hosted(model, costs, policy, options)
    if wanted == "auto" and choose(Costs(costs.call_ms, 0.0), policy.max_call_ms).mode == "threaded":
        # only where a thread that costs the loop nothing would be taken does the lag matter
        costs = Costs(costs.call_ms, await measure_loop_lag(lambda: call(1)))
    choice = capped(choose(costs, policy.max_call_ms, wanted, can_host=policy.can_host), options)
    if choice.mode == "hosted":
        return None, Measured(costs, choice)
    make = DirectExecutor if choice.mode == "direct" else ThreadedExecutor
    executor = make(model, max_rows=choice.max_rows, max_waiting_rows=policy.max_waiting_rows, costs=costs)
    return executor, Measured(costs, choice)


def _hosted(
    model: HostedModel, costs: Costs, policy: ExecutionPolicy, options: ExecutionOptions
) -> tuple[Executor, Measured]:
    choice = capped(choose(costs, policy.max_call_ms, "hosted"), options)
    executor = HostedExecutor(
        model.signature,
        model.lease,
        model.client,
        max_rows=choice.max_rows,
        max_waiting_rows=policy.max_waiting_rows,
        max_wait_s=options.max_wait_ms / 1e3,
        costs=costs,
    )
    return executor, Measured(costs, choice, executor)


def capped(choice: Choice, options: ExecutionOptions) -> Choice:
    """The choice with no more rows in a call than the author allows."""
    if options.max_batch_rows is None:
        return choice
    return replace(choice, max_rows=min(choice.max_rows, options.max_batch_rows))


def repeated(examples: Inputs, rows: int) -> Inputs:
    """``rows`` rows made by repeating the examples in order."""
    picks = np.arange(rows) % examples.count
    if isinstance(examples, Matrix):
        return Matrix(np.ascontiguousarray(examples.values[picks]))
    if isinstance(examples, Table):
        return Table({name: values[picks] for name, values in examples.columns.items()})
    return Tensors({name: array[picks] for name, array in examples.arrays.items()})
