"""`make bench`: measures, shows, and writes benchmarks/results/latest.json and docs/assets/performance.svg."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.bench import Bench, Results, run
from benchmarks.floors import FLOORS
from benchmarks.machine import ROOT, Cores, MissingToolError, require_tools
from benchmarks.models import prepare
from benchmarks.plot import draw, draw_overload
from benchmarks.record import LATEST, Record, Run
from benchmarks.report import show
from benchmarks.scenarios import SCENARIOS


def main() -> int:
    options = parse()
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        require_tools()
    except MissingToolError as missing:
        console.print(str(missing))
        return 2
    results = measure(options, console)
    show(console, results, FLOORS)
    if options.output is not None:
        write(results, options, console)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3, help="how often every case has its turn (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="how long a turn takes (default: 4)")
    parser.add_argument("--quick", action="store_true", help="one round of one second, few cases, nothing written")
    parser.add_argument("--output", type=Path, default=ROOT, help="where benchmarks/results and docs/assets lie")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.output = 1, 1, None
    return options


def measure(options: argparse.Namespace, console: Console) -> Results:
    cores = Cores.find()
    if cores.server is None:
        console.print("Only one core: server and load share it, so read the ratios, and those with care.")
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as folder:
        models = prepare(Path(folder))
        bench = Bench(options.seconds, options.rounds, options.quick, cores, Path(folder), models, console)
        for name in options.only or SCENARIOS:
            results |= run(bench, name, SCENARIOS[name])
    return results


def write(results: Results, options: argparse.Namespace, console: Console) -> None:
    """Writes the record and, of what it holds complete, the pictures."""
    target = options.output / LATEST.relative_to(ROOT)
    now = Record.of(options.only or SCENARIOS, Run.now(options.rounds, options.seconds), results)
    record = now.onto(Record.read(target)) if options.only else now
    floors = {floor.name: value for floor in FLOORS if (value := floor.measure(record.medians)) is not None}
    record.write(target, floors)
    console.print(f"Written: {target.relative_to(options.output)}")
    assets = options.output / "docs" / "assets"
    for picture, drawn in ((assets / "performance.svg", draw), (assets / "overload.svg", draw_overload)):
        if drawn(record.medians, picture):
            console.print(f"Written: {picture.relative_to(options.output)}")
    console.print("On the pages: python -m benchmarks.page")


if __name__ == "__main__":
    raise SystemExit(main())
