"""The figures on the pages are those of benchmarks/results, and the sentences about them follow from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.page.page import OURS, PAGES, SECTION, THEIRS, body, written
from benchmarks.page.peers import better, comparison
from benchmarks.plot import draw_peers
from benchmarks.record import LATEST, PEERS, Record, Run


def measured() -> Record:
    record = Record.read(LATEST)
    assert record is not None
    return record


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_shows_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == written(text, measured(), Record.read(PEERS)), "run: make reference"


def test_every_section_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {match[2] for match in SECTION.finditer(text)} == {*OURS, *THEIRS}


def test_a_section_that_was_not_measured_says_so() -> None:
    nothing = Record(measured().machine, {}, {}, {})
    for name in OURS:
        assert "ot measured" in body(name, nothing, None) or "Not in these runs" in body(name, nothing, None)
    assert all("make bench-peers" in body(name, nothing, None) for name in THEIRS)


def peers(**figures: tuple[float, float, float, float]) -> Record:
    """Servers by requests and rows a second, memory, and start."""
    medians: dict[str, dict[str, float]] = {}
    for name, (rate, rows, memory_mib, start_s) in figures.items():
        medians |= {f"{name}/single/c{count}": {"per_s": rate, "p99_ms": 1e5 / rate} for count in (1, 16, 64)}
        medians[f"{name}/batch1000x4/c4"] = {"per_s": rows, "p99_ms": 1.0}
        medians[f"{name}/memory"] = {"memory_mib": memory_mib}
        medians[f"{name}/start"] = {"start_s": start_s}
    run = Run("2026-01-02T03:04:05+00:00", 3, 2)
    return Record(measured().machine, dict.fromkeys(figures, run), medians, {"kserve": "no `such` package"})


def test_where_peers_are_ahead_is_said_best_first() -> None:
    text = better(peers(foretell=(100, 10, 200, 2), mlserver=(5, 20, 180, 2.01), litserve=(5, 30, 190, 9)))
    assert "**rows a second in batches of 1,000**: LitServe 30 and MLServer 20, beside 10 of Foretell." in text
    assert "**memory in MiB**: MLServer 180 and LitServe 190, beside 200 of Foretell." in text
    assert "seconds to the first answer: as good as Foretell within 5 % is MLServer." in text
    assert "No peer is ahead in requests a second over 1 connection, over 16, over 64 and p99 over 64." in text


def test_where_no_peer_is_ahead_that_is_said() -> None:
    text = better(peers(foretell=(100, 10, 200, 2), mlserver=(5, 5, 300, 3)))
    assert text == "In none of these figures a peer is ahead."


def test_the_tutorial_app_is_no_peer() -> None:
    assert "MLServer" in better(peers(foretell=(100, 10, 200, 2), tutorial=(9, 9, 9, 1), mlserver=(5, 9, 100, 9)))
    assert "tutorial" not in better(peers(foretell=(100, 10, 200, 2), tutorial=(9, 9, 9, 1), mlserver=(5, 9, 100, 9)))


def test_a_comparison_names_what_was_not_measured_and_why() -> None:
    text = comparison(peers(foretell=(100, 10, 200, 2), mlserver=(5, 5, 300, 3)))
    assert "| **Foretell** | 100 | 100 | 100 | 1000.0 | 10 | 200 | 2.0 |" in text
    assert "KServe was not measured: `no such package`." in text
    assert "peers.svg" in text
    assert "peers.svg" not in comparison(peers(foretell=(100, 10, 200, 2)))


def test_the_picture_is_drawn_of_whoever_was_measured(tmp_path: Path) -> None:
    target = tmp_path / "peers.svg"
    titles = {"foretell": "**Foretell**", "mlserver": "MLServer", "kserve": "KServe"}
    both = peers(foretell=(100, 10, 200, 2), mlserver=(5, 5, 300, 3))
    assert not draw_peers(peers(foretell=(100, 10, 200, 2)).medians, titles, target)
    assert draw_peers(both.medians, titles, target)
    drawn = target.read_text(encoding="utf-8")
    assert "MLServer" in drawn
    assert "KServe" not in drawn
