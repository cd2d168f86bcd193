"""The runnable parts of a page: fenced blocks, each with the block of output that stands right after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS = {"sh", "python"}
SHOWS = {"json", "text", "csv"}


@dataclass(frozen=True, slots=True)
class Step:
    """Something to run, and what the page says it prints; None where the page does not say."""

    language: str
    code: str
    line: int
    shown: str | None

    def __str__(self) -> str:
        return f"line {self.line}"


def steps(page: Path) -> list[Step]:
    text = page.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence[1] in RUNS:
            line = text.count("\n", 0, fence.start()) + 2
            found.append(Step(fence[1], fence[2], line, shown_after(text, fence, following)))
    return found


def shown_after(text: str, fence: re.Match[str], following: re.Match[str] | None) -> str | None:
    """The output block of ``fence``: the one right after it."""
    if following is None or following[1] not in SHOWS or text[fence.end() : following.start()].strip():
        return None
    return following[2]
