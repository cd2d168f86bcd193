"""The public fakes keep the promises of the ports they stand for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from foretell.core.values import Inputs, Matrix, Outputs, Row
from foretell.errors import LoadFailed
from foretell.execution.base import Run
from foretell.runtimes.base import LoadOptions, Trust
from foretell.testing import FAKE_SIGNATURE, FakeCosts, FakeExecutor, FakeModel, FakeRuntime

TWO_ROWS = [[1.0, 2.0], [3.0, 4.0]]


class Asked:
    """A call that keeps its answer."""

    deadline_s = 0.0
    abandoned = False

    def __init__(self, rows: list[Row] | Inputs) -> None:
        self.rows = rows
        self.count = 2
        self.answer: list[float] = []

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        self.answer = outputs.part(start, start + run.rows).listed.predictions

    def fail(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("rows", [list(TWO_ROWS), Matrix(np.array(TWO_ROWS))], ids=["rows", "inputs"])
def test_an_executor_answers_at_once(rows: list[Row] | Inputs) -> None:
    asked = Asked(rows)
    FakeExecutor(FakeModel(factor=10.0)).submit(asked)
    assert asked.answer == [30.0, 70.0]


def test_what_is_closed_does_not_answer() -> None:
    model = FakeModel()
    executor = FakeExecutor(model)
    asyncio.run(executor.close())
    with pytest.raises(RuntimeError, match="closed executor"):
        executor.submit(Asked(list(TWO_ROWS)))
    model.close()
    with pytest.raises(RuntimeError, match="closed model"):
        model.predict(Matrix(np.array(TWO_ROWS)))


def test_a_runtime_knows_its_files_by_name_and_loads_numbers(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    for name, content in (("a.fake", "2"), ("b.fake", "two"), ("c.fakecode", "2"), ("d.txt", "2")):
        (tmp_path / name).write_text(content)
    trusts = [runtime.recognise(tmp_path / name) for name in ("a.fake", "c.fakecode", "d.txt")]
    assert [trust and trust.trust for trust in trusts] == [Trust.DATA, Trust.CODE, None]
    assert runtime.load(tmp_path / "a.fake", None, LoadOptions()).signature == FAKE_SIGNATURE
    with pytest.raises(LoadFailed, match=r"b\.fake holds no number"):
        runtime.load(tmp_path / "b.fake", None, LoadOptions())


def test_costs_that_nobody_measured_are_empty() -> None:
    assert FakeCosts().to_document() == {"call_ms": {}}
