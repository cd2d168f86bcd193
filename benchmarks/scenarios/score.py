"""A large CSV file through ``foretell score`` and through a plain loop of pyarrow and the model, on all cores.

Both are timed as somebody waits for them: from the command to its end, imports included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import ROOT

ROWS, QUICK_ROWS = 5_000_000, 500_000
_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command and prints the memory, in KiB, of the largest process there was."""


def score(bench: Bench, stack: ExitStack) -> list[Case]:
    rows = QUICK_ROWS if bench.quick else ROWS
    processes = len(os.sched_getaffinity(0))
    whole = bench.folder / "score.csv"
    write_rows(bench, whole, rows)
    shares = [bench.folder / f"share-{index}.csv" for index in range(processes)]
    for share in shares:
        write_rows(bench, share, rows // processes)
    for path in (whole, *shares):
        stack.callback(path.unlink)
    target = bench.folder / "scored.csv"
    command = [sys.executable, "-m", "foretell", "score", str(whole), str(target), "--model", "iris"]
    command += ["--version", "v1", "--models", str(bench.models.repository)]
    loop = [sys.executable, "-m", "benchmarks.baselines.arrow_loop", str(bench.models.iris), *map(str, shares)]
    clean = lambda: shutil.rmtree(target.with_name("scored.csv.scoring"), ignore_errors=True)  # noqa: E731
    return [Case("score/foretell", timed(command, rows, clean)), Case("score/plain-loop", timed(loop, rows))]


def write_rows(bench: Bench, path: Path, count: int) -> None:
    """The rows of iris over and over."""
    lines = "".join(",".join(map(str, row)) + "\n" for row in bench.models.iris_rows)
    times, rest = divmod(count, len(bench.models.iris_rows))
    with path.open("w", encoding="utf-8") as out:
        out.write(",".join(bench.models.iris_columns) + "\n")
        for _ in range(times):
            out.write(lines)
        out.writelines(lines.splitlines(keepends=True)[:rest])


def timed(command: Sequence[str], rows: int, before: Callable[[], object] = lambda: None) -> Callable[[], Figures]:
    """Rows a second from the command to its end, and the memory of its largest process."""

    def measure() -> Figures:
        before()
        started_s = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-c", _PEAK, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        took_s = time.perf_counter() - started_s
        return {"per_s": rows / took_s, "memory_mib": int(run.stdout.split()[-1]) / 1024}

    return measure
