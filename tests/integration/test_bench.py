"""`make bench` runs: a quick form of its main scenario, with real servers and wrk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tooling import find_tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_a_quick_run_of_the_singles_prints_figures_and_floors() -> None:
    find_tool("wrk")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "singles"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "single/lane/iris-v1/c64" in run.stdout
    assert "single/ordinary/iris-v1/c64" in run.stdout
    assert "iris v1 / empty ASGI, 64 connections" in run.stdout
