"""What `make bench-peers` measured: the figures, in which of them a peer is ahead, and what was chosen for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.page.table import figure, listed, table
from benchmarks.peers.peer import PEERS
from benchmarks.record import Record

OURS = "foretell"
TITLES = {OURS: "**Foretell**", "tutorial": "tutorial app", **{peer.name: peer.title for peer in PEERS}}
EVEN = 1.05
"""Nearer to each other than this, two figures of one machine are the same."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that servers are compared by."""

    title: str
    column: str
    case: str
    name: str
    more_is_better: bool
    form: str = "{:,.0f}"

    def of(self, record: Record, server: str) -> float | None:
        return record.medians.get(f"{server}/{self.case}", {}).get(self.name)

    def gain(self, ours: float, theirs: float) -> float:
        """How many times better theirs is; below 1 where it is worse."""
        return theirs / ours if self.more_is_better else ours / theirs


MEASURES = (
    Measure("requests a second over 1 connection", "1 connection, req/s", "single/c1", "per_s", True),
    Measure("over 16", "16", "single/c16", "per_s", True),
    Measure("over 64", "64", "single/c64", "per_s", True),
    Measure("p99 over 64", "p99 ms at 64", "single/c64", "p99_ms", False, "{:.1f}"),
    Measure("rows a second in batches of 1,000", "1,000 × 4, rows/s", "batch1000x4/c4", "per_s", True),
    Measure("memory in MiB", "MiB", "memory", "memory_mib", False),
    Measure("seconds to the first answer", "first answer s", "start", "start_s", False, "{:.1f}"),
)


def comparison(record: Record) -> str:
    rows = [
        [TITLES[server], *(figure(record, f"{server}/{m.case}", m.name, m.form) for m in MEASURES)]
        for server in TITLES
        if server in record.runs
    ]
    lines = [table(["server", *(m.column for m in MEASURES)], rows)]
    if drawable(record):
        lines.insert(0, "![Foretell beside other model servers](../assets/peers.svg)\n")
    lines.append(f"\n{ways(record)}")
    lines += [
        f"\n{TITLES[name]} was not measured: `{reason.replace('`', '')}`."
        for name, reason in record.not_measured.items()
    ]
    return "\n".join(lines)


def drawable(record: Record) -> bool:
    return OURS in record.runs and len(record.runs) > 1


def ways(record: Record) -> str:
    """When and how it was measured, once for all or for each kind of run."""
    together: dict[str, list[str]] = {}
    for name, run in record.runs.items():
        together.setdefault(f"{run.measured_at[:10]}, rounds of {run.seconds} s: {run.rounds}", []).append(name)
    machine = f"On {record.machine['processor']}, {record.machine['cores']} cores, Python {record.machine['python']}"
    if len(together) == 1:
        return f"{machine}; {next(iter(together))}."
    return f"{machine}; " + "; ".join(f"{listed(names)}: {how}" for how, names in together.items()) + "."


def better(record: Record) -> str:
    """For every figure the peers that are ahead of Foretell, or that none is."""
    ahead, even, none = [], [], []
    for measure in MEASURES:
        ours = measure.of(record, OURS)
        theirs = {peer.name: value for peer in PEERS if (value := measure.of(record, peer.name)) is not None}
        if ours is None or not theirs:
            continue
        gains = {name: measure.gain(ours, value) for name, value in theirs.items()}
        first = [name for name in sorted(gains, key=lambda name: -gains[name]) if gains[name] >= EVEN]
        level = [name for name in gains if 1 / EVEN < gains[name] < EVEN]
        if first:
            ahead.append(f"- **{measure.title}**: {against(measure, first, theirs, ours)}")
        elif level:
            even.append(f"- {measure.title}: as good as Foretell within 5 % is {names_of(level)}.")
        else:
            none.append(measure.title)
    return "\n".join(
        [
            "In these figures a peer is ahead in:\n" if ahead else "In none of these figures a peer is ahead.",
            *ahead,
            *even,
            *([f"\nNo peer is ahead in {listed(none)}."] if none and ahead else []),
        ]
    )


def against(measure: Measure, names: Sequence[str], theirs: dict[str, float], ours: float) -> str:
    said = [f"{TITLES[name]} {measure.form.format(theirs[name])}" for name in names]
    return f"{listed(said)}, beside {measure.form.format(ours)} of Foretell."


def names_of(names: Sequence[str]) -> str:
    return listed([TITLES[name] for name in names])


def settings(record: Record) -> str:
    rows = [[peer.title, peer.version, peer.chosen] for peer in PEERS if peer.name in record.runs]
    return table(["peer", "version", "what was chosen"], rows)
