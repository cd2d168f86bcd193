"""The docs page shows the API in a browser that has no network but the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.process import Serving
from tests.tooling import find_tool, miss


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_page_is_drawn_without_a_network(lane_server: Serving, tmp_path: Path) -> None:
    chromium = find_tool("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        miss("playwright is not installed: pip install playwright")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{lane_server.url}/docs")
        page.wait_for_selector("text=One prediction", timeout=60_000)
        shown = page.inner_text("body")
        page.screenshot(path=tmp_path / "docs.png", full_page=True)
        browser.close()
    assert faults == []
    assert "Foretell" in shown and "/api/v1/predict" in shown and "iris" in shown
    assert asked and all(url.startswith((lane_server.url, "data:")) for url in asked), asked
    assert (tmp_path / "docs.png").stat().st_size > 10_000
