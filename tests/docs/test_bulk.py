"""The page on millions of rows: its lines, in order, print what it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, steps
from tests.docs.likeness import difference
from tests.docs.live import serving, shell
from tests.tooling import find_tool, miss

PAGE = ROOT / "docs" / "how-to" / "bulk.md"


@pytest.mark.timeout(240)
def test_the_lines_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    find_tool("curl")
    command = [sys.executable, str(ROOT / "examples" / "iris" / "train.py"), "--models", str(tmp_path / "models")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        miss(f"the iris example cannot be trained here: {run.stderr[-500:]}")
    with serving(["models"], tmp_path) as live:
        for step in steps(PAGE):
            printed = shell(step.code, tmp_path, live.port)
            found = difference(step.shown, printed) if step.shown is not None else None
            assert found is None, f"line {step.line} of the page: {found}"
