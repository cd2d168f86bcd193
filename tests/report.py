"""A pytest plugin: tests say which promise they hold and what they measured; ``--report PATH`` makes a page of it.

A test that asks for the fixture ``report`` has a row on the page whatever becomes of it: held where it passed, not held
where it failed or never came to say anything. What it says travels with its result, so the workers of xdist need no
other way to tell it. Without ``--report`` nothing is written.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from benchmarks.machine import Machine

ROOT = Path(__file__).resolve().parents[1]
PROMISE = "promise"
UNITS = {"s": "s", "ms": "ms", "us": "µs", "mib": "MiB", "mb": "MB", "percent": "%"}
Figure = int | float | str


class Report(Protocol):
    """Called by a test, once or several times, before it asserts: the promise, what was wanted, what was measured.

    The names of figures end in their unit where they have one (``p99_ms``). ``held`` is for a test of several promises,
    which fails with any of them; without it a row is what became of its test.
    """

    def __call__(self, promise: str, *, bar: str = "", held: bool | None = None, **figures: Figure) -> None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A promise and what came of it; ``outcome`` is held, not held, or skipped."""

    promise: str
    figures: str
    bar: str
    outcome: str
    seconds: float
    where: str

    def line(self) -> str:
        verdict = self.outcome if self.outcome == "held" else f"**{self.outcome}**"
        cells = (self.promise, self.figures, self.bar, verdict, f"{self.seconds:,.1f}", f"`{self.where}`")
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """States the promise that this test holds, with the figures it measured."""

    def say(promise: str, *, bar: str = "", held: bool | None = None, **figures: Figure) -> None:
        request.node.user_properties.append((PROMISE, [promise, said(figures), bar, held]))

    return say


def said(figures: Mapping[str, Figure]) -> str:
    """``{"requests": 12034, "p99_ms": 3.21}`` as «12,034 requests, p99 3.21 ms»."""
    return ", ".join(one_figure(name, value) for name, value in figures.items())


def one_figure(name: str, value: Figure) -> str:
    *words, last = name.split("_")
    if isinstance(value, int | float) and words and last in UNITS:
        return f"{' '.join(words)} {number(value)} {UNITS[last]}"
    words = [*words, last]
    return f"{number(value)} {' '.join(words)}" if isinstance(value, int) else f"{' '.join(words)} {number(value)}"


def number(value: Figure) -> str:
    """Three digits that matter, with commas where there are many."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, metavar="PATH", help="write what the tests promise and measured as a page")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--report") is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Page(config), "promises-page")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks the tests that have something to say, before anything of theirs can fail or be skipped."""
    if "report" in getattr(item, "fixturenames", ()):
        item.user_properties.append((PROMISE, None))


@dataclass(eq=False)
class Page:
    """Gathers what the tests say and writes it at the end, from whichever worker it came."""

    config: pytest.Config
    started_s: float = field(default_factory=time.monotonic)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = [value for name, value in report.user_properties if name == PROMISE]
        if not told or (report.when != "call" and report.passed):
            return
        outcome = "held" if report.passed else "skipped" if report.skipped else "not held"
        where, _, test = report.nodeid.partition("::")
        where = where.removeprefix("tests/")
        words = test.partition("[")[0].removeprefix("test_").replace("_", " ")
        texts = [value for value in told if isinstance(value, list | tuple)] or [(words, "", "", None)]
        blamed = any(held is False for *_, held in texts)  # else the fault is nobody's own, and so everybody's
        seconds = report.duration + sum(row.seconds for row in self.rows.get(report.nodeid, ())[:1])
        self.rows[report.nodeid] = [
            Row(promise, figures, bar, "held" if held and blamed else outcome, seconds, where)
            for promise, figures, bar, held in texts
        ]

    def pytest_sessionfinish(self) -> None:
        path: Path = self.config.getoption("--report")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(path), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{len(self.ordered())} promises: {self.config.getoption('--report')}")

    def ordered(self) -> list[Row]:
        """Rows of one file together, in the order in which they came, which within a file is that of the file."""
        return sorted((row for rows in self.rows.values() for row in rows), key=lambda row: row.where)

    def text(self, path: Path) -> str:
        rows = self.ordered()
        held = sum(row.outcome == "held" for row in rows)
        torture = "torture" in self.config.option.markexpr.removeprefix("not torture")
        lines = [
            "# Torture" if torture else "# Torture in short",
            "",
            FULL if torture else SHORT,
            "",
            f"{held} of {len(rows)} held, in {(time.monotonic() - self.started_s) / 60:.1f} minutes. "
            f"{machine()}. {datetime.now(UTC):%Y-%m-%d}, commit {commit(path)}:",
            "",
            "```sh",
            command(self.config.invocation_params.args),
            "```",
            "",
            "| promise | measured | wanted | | seconds | in `tests/` |",
            "|---|---|---|---|---|---|",
            *(row.line() for row in rows),
        ]
        return "\n".join(lines) + "\n"


FULL = """\
What takes minutes to show: `make torture` runs it and writes this page; the same tests at a smaller size are
[part of `make test`](torture-short.md). Ratios to other servers and floors of throughput are
[measured apart](performance.md)."""
SHORT = """\
The tests of `make test` that hold what is promised about load, failures and memory, most of them at a smaller size than
[`make torture`](torture.md) does. Several run at once, so times are reported, not judged."""


def machine() -> str:
    """The machine in words: nothing that names it."""
    found = Machine.describe()
    return f"{found.processor}, {found.cores} cores, {found.memory_gib:g} GiB, {found.system}, Python {found.python}"


def commit(page: Path) -> str:
    """The commit that was tested, and whether the files were any other than its; the page itself does not count."""
    try:
        found = git("rev-parse", "--short", "HEAD").strip()
        changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    others = [name for name in changed if (ROOT / name).resolve() != page.resolve()]
    return f"{found} with changes" if others else found


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def command(arguments: Iterable[str]) -> str:
    """What was run, without a folder of this machine in it."""
    return shlex.join(["pytest", *(without_folders(str(argument)) for argument in arguments)])


def without_folders(argument: str) -> str:
    """A path within the repository as it is from there, of any other its name."""
    option, equals, value = argument.rpartition("=")
    path = Path(value)
    if path.is_absolute():
        value = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return f"{option}{equals}{value}"
