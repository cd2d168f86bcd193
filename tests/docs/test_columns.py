"""The lines of the page about columns give what the page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, steps
from tests.docs.likeness import difference
from tests.docs.live import notebook, serving, shell
from tests.tooling import find_tool

PAGE = ROOT / "docs" / "how-to" / "columns.md"


@pytest.mark.timeout(240)
def test_every_line_of_the_page_gives_what_the_page_says(tmp_path: Path) -> None:
    find_tool("curl")
    train = [sys.executable, str(ROOT / "examples" / "iris" / "train.py"), "--models", str(tmp_path / "models")]
    subprocess.run(train, check=True, capture_output=True)
    shown = 0
    with serving(["models"], tmp_path) as server, notebook(tmp_path) as cells:
        for step in steps(PAGE):
            in_python = step.language == "python"
            run = cells.run(step.code, server.port) if in_python else shell(step.code, tmp_path, server.port)
            if step.shown is not None:
                shown += 1
                found = difference(step.shown, run)
                assert found is None, f"line {step.line}: {found}"
    assert shown >= 4
