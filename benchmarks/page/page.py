"""A page with measured sections: what stands between `<!-- measured: NAME -->` and `<!-- end -->` is written here."""

from __future__ import annotations

import re
from collections.abc import Callable

from benchmarks.machine import ROOT
from benchmarks.page import peers, sections
from benchmarks.record import Record

PAGES = (ROOT / "docs" / "explanation" / "performance.md", ROOT / "README.md")
SECTION = re.compile(r"(<!-- measured: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)

OURS: dict[str, Callable[[Record], str]] = {
    "run": sections.run,
    "singles": sections.singles,
    "modes": sections.modes,
    "batches": sections.batches,
    "sizes": sections.sizes,
    "columnar": sections.columnar,
    "large": sections.large,
    "overload": sections.overload,
    "bulk": sections.bulk,
    "waiting": sections.waiting,
    "floors": sections.floors,
    "headline": sections.headline,
}
THEIRS: dict[str, Callable[[Record], str]] = {
    "peers": peers.comparison,
    "better": peers.better,
    "settings": peers.settings,
}
NOT_YET = "Not measured yet: `make bench-peers`."


def written(text: str, ours: Record, theirs: Record | None) -> str:
    """The page with every section as the records have it. Raises KeyError for a section that is not known."""

    def section(match: re.Match[str]) -> str:
        head, name, end = match.groups()
        return f"{head}\n{body(name, ours, theirs)}\n\n{end}"

    return SECTION.sub(section, text)


def body(name: str, ours: Record, theirs: Record | None) -> str:
    if name in THEIRS:
        return NOT_YET if theirs is None else THEIRS[name](theirs)
    return OURS[name](ours) or f"Not in these runs: `make bench`, section *{name}*."
