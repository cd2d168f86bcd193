"""Floors of the benchmarks that are promises about load, failure and memory, on a machine with nothing else to do.

Short forms without a clock: ``unit/test_overload.py``, ``e2e/test_hosted.py``, ``e2e/test_bulk.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.floors import FLOORS
from tests.report import Report
from tests.tooling import find_tool

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ("overload", "isolation", "stream", "score")


def measured(folder: Path, *how: str) -> dict[str, Any]:
    """What a run of the benchmarks writes."""
    find_tool("wrk")
    command = [sys.executable, "-m", "benchmarks", *how, "--output", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-8000:]
    found: dict[str, Any] = json.loads((folder / "benchmarks" / "results" / "latest.json").read_text(encoding="utf-8"))
    return found


def judge_overload(cases: dict[str, dict[str, float]], report: Report) -> None:
    flooded, before = cases["overload/x5"], cases["overload/x0.5"]
    report(
        "A hosted model of 500 predictions/s offered five times that for 60 s fails nobody, in bounded memory",
        bar="0 failed, memory ≤ 100 MiB more",
        offered_each_second=round(flooded["offered_per_s"]),
        answered_each_second=round(flooded["per_s"]),
        failed=round(sum(case["failed"] for case in cases.values())),
        memory_before_mib=before["memory_mib"],
        memory_mib=flooded["memory_mib"],
        memory_after_mib=cases["overload/after"]["memory_mib"],
    )
    assert all(case["failed"] == 0 for case in cases.values())
    assert flooded["refused_share"] > 0.2, "else it was never overloaded"
    assert max(case["memory_mib"] for case in cases.values()) <= before["memory_mib"] + 100


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_floors_of_a_scenario_are_met(scenario: str, tmp_path: Path, report: Report) -> None:
    rounds = "3" if scenario == "isolation" else "1"
    found = measured(tmp_path, "--only", scenario, "--rounds", rounds, "--seconds", "4")
    short = []
    for floor in FLOORS:
        if floor.name in found["floors"]:
            value = found["floors"][floor.name]
            report(floor.name, bar=f"{floor.sense} {floor.bound:g}", held=floor.met(value), measured=value)
            short += [] if floor.met(value) else [f"{floor.name}: {value}"]
    if scenario == "overload":
        judge_overload(found["medians"], report)
    assert not short
    assert found["floors"]
