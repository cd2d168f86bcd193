"""The record of what was measured: a file of benchmarks/results, with when, how and on which machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import Results
from benchmarks.machine import ROOT, Machine

FOLDER = ROOT / "benchmarks" / "results"
LATEST, PEERS = FOLDER / "latest.json", FOLDER / "peers.json"


@dataclass(frozen=True, slots=True)
class Run:
    """How one scenario was measured."""

    measured_at: str
    rounds: int
    seconds: int

    @staticmethod
    def now(rounds: int, seconds: int) -> Run:
        return Run(datetime.now(UTC).isoformat(timespec="seconds"), rounds, seconds)

    def document(self) -> dict[str, Any]:
        return {"measured_at": self.measured_at, "rounds": self.rounds, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Record:
    """Medians by case; the run of each scenario; what could not be measured and why."""

    machine: Mapping[str, Any]
    runs: Mapping[str, Run]
    medians: Results
    not_measured: Mapping[str, str]

    @staticmethod
    def of(names: Iterable[str], run: Run, results: Results, absent: Mapping[str, str] | None = None) -> Record:
        """What was measured on this machine just now, under these names of scenarios."""
        absent = absent or {}
        runs = {name: run for name in names if name not in absent}
        return Record(Machine.describe().document(), runs, results, absent)

    @staticmethod
    def read(path: Path) -> Record | None:
        """None where nothing was written yet."""
        if not path.exists():
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        runs = {name: Run(**run) for name, run in document["runs"].items()}
        return Record(document["machine"], runs, document["medians"], document["not_measured"])

    def onto(self, earlier: Record | None) -> Record:
        """Both, where this measured only some of the scenarios on the same machine with the same versions.

        Every floor is made of figures of one scenario, so of one run. Peers are measured one after the other anyway.
        """
        if earlier is None or earlier.machine != self.machine:
            return self
        kept = {case: row for case, row in earlier.medians.items() if case.partition("/")[0] not in self.not_measured}
        return Record(
            self.machine,
            {name: run for name, run in {**earlier.runs, **self.runs}.items() if name not in self.not_measured},
            {**kept, **self.medians},
            {n: why for n, why in {**earlier.not_measured, **self.not_measured}.items() if n not in self.runs},
        )

    def write(self, path: Path, floors: Mapping[str, float] | None = None) -> None:
        document = {
            "machine": self.machine,
            "runs": {name: run.document() for name, run in self.runs.items()},
            "medians": {
                case: {name: round(value, 4) for name, value in row.items()} for case, row in self.medians.items()
            },
            "not_measured": self.not_measured,
        }
        if floors is not None:
            document["floors"] = {name: round(value, 3) for name, value in floors.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
