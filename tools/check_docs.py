"""Checks that the documentation hangs together: `python tools/check_docs.py`.

Every relative link leads to a file, and to a heading where it names one; every page of docs/ is in the navigation and
every entry of the navigation is a page; every decision is listed on the page of decisions.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def main() -> int:
    faults = [*broken_links(), *navigation_faults(), *unlisted_decisions()]
    for fault in faults:
        print(fault)
    print(f"documentation: {len(pages())} pages, {len(faults)} faults")
    return 1 if faults else 0


def pages() -> list[Path]:
    """Every page of the documentation, and those that stand beside it."""
    return [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def broken_links() -> Iterator[str]:
    for page in pages():
        for match in LINK.finditer(prose(page)):
            target, _, anchor = (match[1] or match[2]).partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            file = page if not target else (page.parent / target).resolve()
            if not file.exists():
                yield f"{page.relative_to(ROOT)}: {target} does not exist"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield f"{page.relative_to(ROOT)}: {target or page.name} has no heading #{anchor}"


def anchors(page: Path) -> set[str]:
    """Headings as the anchors that a site generator makes of them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {text.strip().replace(" ", "-") for text in plain}


def navigation_faults() -> Iterator[str]:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = set(entries(site["project"]["nav"]))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    decisions = {name for name in there if name.startswith("adr/")}
    yield from (f"zensical.toml: {name} does not exist" for name in sorted(listed - there))
    yield from (f"zensical.toml: {name} is not in the navigation" for name in sorted(there - listed - decisions))


def entries(navigation: object) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
    elif isinstance(navigation, dict):
        yield from (name for value in navigation.values() for name in entries(value))
    elif isinstance(navigation, list):
        yield from (name for value in navigation for name in entries(value))


def unlisted_decisions() -> Iterator[str]:
    index = (DOCS / "adr" / "index.md").read_text(encoding="utf-8")
    decisions = [page for page in sorted((DOCS / "adr").glob("*.md")) if page.name != "index.md"]
    numbers = [page.name.partition("-")[0] for page in decisions]
    yield from (
        f"docs/adr: two decisions bear number {n}" for n in sorted({n for n in numbers if numbers.count(n) > 1})
    )
    yield from (f"docs/adr/index.md does not list {page.name}" for page in decisions if f"({page.name})" not in index)


if __name__ == "__main__":
    sys.exit(main())
