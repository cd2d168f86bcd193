"""The README's lines give what the README says, on a server with the four examples."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Step, steps
from tests.docs.likeness import difference
from tests.docs.live import Live, serving, shell
from tests.tooling import find_tool, miss

README = ROOT / "README.md"
CALLS = [step for step in steps(README) if step.language == "sh" and "curl" in step.code]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder that `make serve` would make."""
    models = tmp_path_factory.mktemp("readme") / "models"
    command = [sys.executable, str(ROOT / "examples" / "train_all.py"), "--models", str(models)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    if "skipped" in run.stdout:
        miss(f"not every example can be trained here: {run.stdout}")
    assert {path.name for path in models.iterdir()} == {"iris", "diabetes", "breast-cancer", "preferences"}, run.stdout
    return models


@pytest.fixture(scope="module")
def server(examples: Path) -> Iterator[Live]:
    with serving(["models", "--default-model", "iris"], examples.parent) as live:
        yield live


@pytest.mark.timeout(240)
@pytest.mark.parametrize("step", CALLS, ids=str)
def test_a_call_of_the_readme_gives_what_the_readme_says(step: Step, server: Live) -> None:
    find_tool("curl")
    assert step.shown is not None, "the README does not say what comes back"
    found = difference(step.shown, shell(step.code, server.log.parent, server.port))
    assert found is None, f"README line {step.line}: {found}"


def test_the_readme_calls_every_example() -> None:
    calls = " ".join(step.code for step in CALLS)
    assert all(name in calls for name in ("iris", "diabetes", "breast-cancer", "preferences"))


def test_every_route_is_in_the_api_reference(server: Live) -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/openapi.json", timeout=30) as answer:
        routes = json.load(answer)["paths"]
    general = {re.sub(r"/models/(?!\{)[^/]+", "/models/{model}", route) for route in routes}
    assert not [route for route in sorted(general) if f"`{route}`" not in page]
