"""Names that are paths, given to everything that takes a name: no file outside is touched (faults.md, row 56)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evil.paths import names
from tests.report import Report

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])])
def test_no_name_leads_to_a_file_outside(tmp_path: Path, every: int, report: Report) -> None:
    assert len(list(names())) >= 500
    command = [sys.executable, "-m", "tests.evil.names_at_work", str(tmp_path), str(every)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    told = json.loads(run.stdout.splitlines()[-1])
    report(
        "Names that are paths, over HTTP, on the command line, in manifests",
        bar="0 files outside touched, none taken for a name",
        given=told["given"],
        touched_outside=len(told["outside"]),
        taken=len(told["taken"]),
    )
    assert told["outside"] == []
    assert told["taken"] == []
    assert told["given"] > 4000 / every
    assert told["opened"] > 0
