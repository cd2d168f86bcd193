"""`make bench-peers`: builds what is missing, asks all the same rows, and writes benchmarks/results/peers.json."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.bench import Bench, Case, Results, Scenario, run
from benchmarks.machine import ROOT, Cores, MissingToolError, memory_mib, require_tools
from benchmarks.models import prepare
from benchmarks.page.peers import TITLES
from benchmarks.peers import environment
from benchmarks.peers.environment import CACHE, PeerMissingError
from benchmarks.peers.peer import PEERS
from benchmarks.peers.subject import OURS, ROWS, TUTORIAL, Subject, WrongAnswerError, subject
from benchmarks.plot import draw_peers
from benchmarks.record import PEERS as RECORD
from benchmarks.record import Record, Run
from benchmarks.report import figures
from benchmarks.scenarios.batches import in_rows
from benchmarks.servers import NotStartedError, Server
from benchmarks.wrk import LoadError, drive

NAMES = (OURS, TUTORIAL, *(peer.name for peer in PEERS))
CONNECTIONS = (1, 16, 64)
BATCH_CONNECTIONS = 4
REASON_CHARACTERS = 400
PICTURE = ROOT / "docs" / "assets" / "peers.svg"


def main() -> int:
    options = parse()
    console = Console(width=None if sys.stdout.isatty() else 120)
    if options.lock:
        return lock(options.only or NAMES, console)
    try:
        require_tools()
    except MissingToolError as missing:
        console.print(str(missing))
        return 2
    results, absent = measure(options, console)
    console.print(figures(results))
    for name, reason in absent.items():
        console.print(f"{name}: not measured: {reason}", markup=False)
    if not options.quick:
        write(options, results, absent, console)
    return 0


def write(options: argparse.Namespace, results: Results, absent: dict[str, str], console: Console) -> None:
    """Writes the record and its picture."""
    now = Record.of(options.only or NAMES, Run.now(options.rounds, options.seconds), results, absent)
    record = now.onto(Record.read(RECORD)) if options.only else now
    record.write(RECORD)
    console.print(f"Written: {RECORD.relative_to(ROOT)}")
    if draw_peers(record.medians, TITLES, PICTURE):
        console.print(f"Written: {PICTURE.relative_to(ROOT)}")
    console.print("On the pages: python -m benchmarks.page")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3, help="how often every case has its turn (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="how long a turn takes (default: 4)")
    parser.add_argument("--quick", action="store_true", help="one round of one second, nothing written")
    parser.add_argument("--lock", action="store_true", help="only write the locks of the peers' packages anew")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    return options


def lock(names: Sequence[str], console: Console) -> int:
    faults = 0
    for peer in PEERS:
        if peer.name in names and not peer.shares:
            try:
                environment.lock(peer)
            except PeerMissingError as error:
                faults += 1
                console.print(f"{peer.name}: {error}", markup=False)
    return 1 if faults else 0


def measure(options: argparse.Namespace, console: Console) -> tuple[Results, dict[str, str]]:
    """Each server alone on its core, one after the other; what cannot be measured, with the reason."""
    results: Results = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="foretell-peers-") as folder:
        models = prepare(Path(folder))
        home = Path(folder) / "home"
        home.mkdir()
        bench = Bench(options.seconds, options.rounds, options.quick, Cores.find(), Path(folder), models, console)
        for name in options.only or NAMES:
            try:
                with console.status(f"{name}: building its environment"):
                    asked = subject(name, models, home)
                results |= run(bench, name, scenario(asked))
            except (PeerMissingError, NotStartedError, WrongAnswerError, LoadError) as error:
                absent[name] = reason(str(error), folder)
                console.print(f"  {name}: {str(error)[:400]}", markup=False)
    return results, absent


def reason(said: str, folder: str) -> str:
    """The end of what was said, in one line, without the folders of this machine: it goes into the record."""
    for place in (folder, str(ROOT), str(CACHE.resolve()), sys.prefix, sys.base_prefix, str(Path.home())):
        said = said.replace(place, "")
    return " ".join(said.split())[-REASON_CHARACTERS:]


def scenario(asked: Subject) -> Scenario:
    """The server's cases, as ``benchmarks.bench.run`` takes them."""

    def cases(bench: Bench, stack: ExitStack) -> list[Case]:
        starts_s = []
        for _ in range(bench.rounds - 1):
            with ExitStack() as once:
                starts_s.append(started(bench, once, asked)[1])
        server, last_s = started(bench, stack, asked)
        start_s = statistics.median([*starts_s, last_s])
        for question in (asked.single, asked.batch):
            question.check(server)
            drive(question.load(server, BATCH_CONNECTIONS), 2, None)  # the first answers of some take seconds
        singles = [
            bench.load(f"{asked.name}/single/c{count}", asked.single.load(server, count)) for count in CONNECTIONS
        ]
        batch = asked.batch.load(server, BATCH_CONNECTIONS)
        return [
            Case(f"{asked.name}/start", lambda: {"start_s": start_s}),
            *singles,
            in_rows(bench.load(f"{asked.name}/batch1000x4/c{BATCH_CONNECTIONS}", batch), ROWS),
            Case(f"{asked.name}/memory", lambda: {"memory_mib": memory_mib(server.pid)}),
        ]

    return cases


def started(bench: Bench, stack: ExitStack, asked: Subject) -> tuple[Server, float]:
    """The server, and the seconds from its command to its first answer."""
    started_s = time.perf_counter()
    server = bench.start(stack, asked.how)
    asked.await_answer(server)
    return server, time.perf_counter() - started_s


if __name__ == "__main__":
    raise SystemExit(main())
