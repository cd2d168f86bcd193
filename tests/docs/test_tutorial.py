"""The tutorial's transcript is what happens: its cells and lines run in order, and print what the page shows."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Step, steps
from tests.docs.likeness import difference
from tests.docs.live import Notebook, notebook, serving, shell
from tests.tooling import find_tool

TUTORIAL = ROOT / "docs" / "tutorials" / "first-model.md"


class Reader:
    """Does what the page says, in an empty folder; ``foretell serve`` goes on in the background."""

    def __init__(self, folder: Path, cells: Notebook, stack: ExitStack) -> None:
        self._folder, self._cells, self._stack = folder, cells, stack
        self._port = 0

    def follow(self, step: Step) -> str:
        if step.language == "python":
            return self._cells.run(step.code, self._port)
        if step.code.startswith("foretell serve"):
            arguments = step.code.split()[2:]
            self._port = self._stack.enter_context(serving(arguments, self._folder)).port
            return step.shown or ""
        return shell(step.code, self._folder, self._port)


@pytest.mark.timeout(240)
def test_the_transcript_of_the_tutorial_holds(tmp_path: Path) -> None:
    find_tool("curl")
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack.enter_context(notebook(tmp_path)), stack)
        for step in steps(TUTORIAL):
            printed = reader.follow(step)
            found = difference(step.shown, printed) if step.shown is not None else None
            assert found is None, f"line {step.line} of the tutorial: {found}"
