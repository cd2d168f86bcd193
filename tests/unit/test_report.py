"""The page of promises: every test that has one is on it, whatever became of it and whichever worker ran it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report import ROOT, Row, command, one_figure

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError("in the set-up")

@pytest.fixture
def breaks_after():
    yield
    raise OSError("in the end")

def test_good(report):
    report("Good things | stay", bar="0 failed", requests=12034, p99_ms=3.214)
    report("And another", share=0.5)

def test_bad(report):
    report("Bad things go", failed=7)
    assert False

def test_two(report):
    report("One of two", held=True)
    report("Other of two", held=False)
    assert False

def test_says_nothing(report):
    assert False

def test_never_begins(broken, report):
    report("Never said")

def test_ends_badly(report, breaks_after):
    report("Ends well")

@pytest.mark.skipif(True, reason="not here")
def test_elsewhere(report):
    report("Never said")

def test_without_a_word():
    pass
"""


def run_of(tests: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of ``tests`` in a project of their own that uses the plugin."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "suite").mkdir()
    (folder / "suite" / "conftest.py").write_text('pytest_plugins = ["tests.report"]\n')
    (folder / "suite" / "test_it.py").write_text(tests)
    arguments = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "suite", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]), "PYTEST_ADDOPTS": ""}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_promise_is_on_the_page_and_what_came_of_it(tmp_path: Path, workers: str) -> None:
    page = tmp_path / "docs" / "page.md"
    run = run_of(TESTS, tmp_path, "-n", workers, "--report", str(page))
    assert run.returncode == 1, run.stdout + run.stderr
    text = page.read_text(encoding="utf-8")
    table = [tuple(cell.strip() for cell in line.split(" | ")) for line in text.splitlines() if "test_it.py" in line]
    assert [(cells[0], *cells[1:4]) for cells in sorted(table)] == [
        ("| And another", "share 0.5", "", "held"),
        ("| Bad things go", "7 failed", "", "**not held**"),
        ("| Ends well", "", "", "**not held**"),
        ("| Good things \\| stay", "12,034 requests, p99 3.21 ms", "0 failed", "held"),
        ("| One of two", "", "", "held"),
        ("| Other of two", "", "", "**not held**"),
        ("| elsewhere", "", "", "**skipped**"),
        ("| never begins", "", "", "**not held**"),
        ("| says nothing", "", "", "**not held**"),
    ]
    assert "3 of 9 held" in text
    assert f"9 promises: {page}" in run.stdout


def test_without_the_option_nothing_is_written(tmp_path: Path) -> None:
    run = run_of("def test_good(report):\n    report('Good things stay')\n", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {path.name for path in tmp_path.rglob("*")} == {"pytest.ini", "suite", "conftest.py", "test_it.py"}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("requests", 12034, "12,034 requests"),
        ("p99_ms", 3.214, "p99 3.21 ms"),
        ("p99_ms", 1234.5, "p99 1,234 ms"),
        ("memory_more_mib", 6, "memory more 6 MiB"),
        ("failed", 0, "0 failed"),
        ("wrong_answers", 0, "0 wrong answers"),
        ("ratio", 0.97, "ratio 0.97"),
        ("status", "504", "status 504"),
        ("s", 3, "3 s"),
    ],
)
def test_a_figure_reads_as_people_say_it(name: str, value: float | str, text: str) -> None:
    assert one_figure(name, value) == text


def test_a_row_cannot_break_the_table() -> None:
    line = Row("a | b\nc", "", "", "held", 1234.56, "e2e/test_it.py").line()
    assert line == "| a \\| b c |  |  | held | 1,234.6 | `e2e/test_it.py` |"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-m", "torture", "--report", f"{ROOT}/docs/page.md"], "pytest -m torture --report docs/page.md"),
        (["--report=/somewhere/else/page.md", "-k", "a or b"], "pytest --report=page.md -k 'a or b'"),
        (["/somewhere/else/page.md"], "pytest page.md"),
    ],
)
def test_the_command_holds_no_folder_of_this_machine(arguments: list[str], text: str) -> None:
    assert command(arguments) == text
