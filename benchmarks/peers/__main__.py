"""`make bench-peers`: builds what is missing, asks all the same rows, and writes benchmarks/results/peers.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.bench import Bench, Case, Results, Scenario, run
from benchmarks.machine import ROOT, Cores, Machine, MissingToolError, memory_mib, require_tools
from benchmarks.models import Models, prepare
from benchmarks.peers.environment import PeerMissingError, built, recipe
from benchmarks.peers.peer import PEERS, Rows
from benchmarks.report import figures
from benchmarks.scenarios.batches import in_rows
from benchmarks.servers import NotStartedError, Recipe, Server
from benchmarks.wrk import Load, LoadError, drive

ROWS = 1000
OURS, TUTORIAL = "foretell", "tutorial"


def main() -> int:
    names = [OURS, TUTORIAL, *(peer.name for peer in PEERS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one round of one second, nothing written")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        require_tools()
    except MissingToolError as missing:
        console.print(str(missing))
        return 2
    results, absent = measure(options, names, console)
    console.print(figures(results))
    for name, reason in absent.items():
        console.print(f"{name}: not measured: {reason}", markup=False)
    if not options.quick:
        write(options, results, absent, console)
    return 0


def measure(options: argparse.Namespace, names: list[str], console: Console) -> tuple[Results, dict[str, str]]:
    """Each server alone on its core, one after the other; what cannot be measured, with the reason."""
    results: Results = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="foretell-peers-") as folder:
        models = prepare(Path(folder))
        bench = Bench(options.seconds, options.rounds, options.quick, Cores.find(), Path(folder), models, console)
        for name in options.only or names:
            try:
                with console.status(f"{name}: building its environment"):
                    how, single, batch, path, batch_path = asked(name, models)
                results |= run(bench, name, scenario(name, how, (path, single), (batch_path, batch)))
            except (PeerMissingError, NotStartedError, LoadError) as error:
                absent[name] = str(error)
                console.print(f"  {name}: {str(error)[:200]}", markup=False)
    return results, absent


def asked(name: str, models: Models) -> tuple[Recipe, bytes, bytes, str, str]:
    """How to start it; a body of one row and one of many, and their paths. Raises PeerMissingError."""
    one, many = models.iris_rows[:1], repeated(models.iris_rows)
    if name in (OURS, TUTORIAL):
        how = Recipe.foretell(models.iris_only) if name == OURS else Recipe.tutorial(models.iris)
        single, batch = models.single(models.iris_rows), models.batch(models.iris_rows, ROWS)
        return how, single, batch, "/api/v1/predict", "/api/v1/predict/batch"
    peer = next(peer for peer in PEERS if peer.name == name)
    return recipe(peer, built(peer)), peer.message(one), peer.message(many), peer.path, peer.path


def repeated(rows: Rows) -> Rows:
    return [rows[i % len(rows)] for i in range(ROWS)]


def scenario(name: str, how: Recipe, single: tuple[str, bytes], batch: tuple[str, bytes]) -> Scenario:
    """The server's cases, as ``benchmarks.bench.run`` takes them."""

    def cases(bench: Bench, stack: ExitStack) -> list[Case]:
        server: Server = bench.start(stack, how)
        for path, body in (single, batch):  # the first answers of some take seconds
            drive(Load(server.url(path), body, 4), 2, None)
        singles = [
            bench.load(f"{name}/single/c{count}", Load(server.url(single[0]), single[1], count))
            for count in bench.connections(1, 16, 64)
        ]
        many = bench.load(f"{name}/batch1000x4/c4", Load(server.url(batch[0]), batch[1], 4))
        memory = Case(f"{name}/memory", lambda: {"memory_mib": memory_mib(server.pid)})
        return [*singles, in_rows(many, ROWS), memory]

    return cases


def write(options: argparse.Namespace, results: Results, absent: dict[str, str], console: Console) -> None:
    target = ROOT / "benchmarks" / "results" / "peers.json"
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": Machine.describe().document(),
        "medians": {case: {name: round(value, 4) for name, value in row.items()} for case, row in results.items()},
        "not_measured": absent,
    }
    target.write_text(json.dumps(document, indent=2) + "\n")
    console.print(f"Written: {target.relative_to(ROOT)}")


if __name__ == "__main__":
    raise SystemExit(main())
