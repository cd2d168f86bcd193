"""`make reference`: writes the measured sections of the documentation anew from benchmarks/results."""

from __future__ import annotations

from benchmarks.page.page import PAGES, written
from benchmarks.record import LATEST, PEERS, Record


def main() -> int:
    ours, theirs = Record.read(LATEST), Record.read(PEERS)
    if ours is None:
        print(f"{LATEST.name} is not there; run: make bench")
        return 2
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8"), ours, theirs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
